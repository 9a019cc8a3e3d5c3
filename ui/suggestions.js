/** Completions under a text field, as an ARIA combobox with a listbox. */

import * as api from "./api.js";
import { el, fill } from "./dom.js";
import { text } from "./text.js";

const PAUSE = 90; // ms; shorter than the search's own, so that the list is there first
const SHOWN = 6;

export class Suggestions {
  #pause = 0;
  #request = null;
  #active = -1;
  #options = [];

  /** @param {HTMLInputElement} input @param {(text: string) => void} choose called with what was picked */
  constructor(input, choose) {
    this.input = input;
    this.choose = choose;
    this.list = el("ul", { id: "suggestions", class: "suggestions", role: "listbox", "aria-label": text.search.suggestions, hidden: true });
    for (const [name, value] of Object.entries({
      role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": "suggestions",
    })) input.setAttribute(name, value);
    input.addEventListener("blur", () => this.close());
  }

  /** Looks up completions of `typed`, shortly. */
  ask(typed) {
    clearTimeout(this.#pause);
    if (!typed.trim()) {
      this.close();
      return;
    }
    this.#pause = setTimeout(() => this.#fetch(typed), PAUSE);
  }

  close() {
    clearTimeout(this.#pause);
    this.#request?.abort();
    this.#show([]);
  }

  /** Handles a key pressed in the field. @returns {boolean} whether the key was for the list */
  onKey(event) {
    if (this.list.hidden) return false;
    const last = this.#options.length - 1;
    if (event.key === "ArrowDown") this.#mark(this.#active === last ? -1 : this.#active + 1);
    else if (event.key === "ArrowUp") this.#mark(this.#active === -1 ? last : this.#active - 1);
    else if (event.key === "Escape") this.close();
    else if (event.key === "Enter" && this.#active >= 0) this.#pick(this.#active);
    else return false;
    event.preventDefault();
    return true;
  }

  async #fetch(typed) {
    this.#request?.abort();
    const request = new AbortController();
    this.#request = request;
    try {
      const { suggestions } = await api.suggest(typed, request.signal);
      const others = suggestions.filter((suggestion) => suggestion.text.toLowerCase() !== typed.trim().toLowerCase());
      if (!request.signal.aborted && document.activeElement === this.input) this.#show(others.slice(0, SHOWN));
    } catch (error) {
      // Suggestions are a convenience: without them the search itself still says what is wrong.
      if (!request.signal.aborted && !(error instanceof api.Problem)) throw error;
    }
  }

  #show(suggestions) {
    this.#active = -1;
    this.#options = suggestions;
    fill(this.list, suggestions.map((suggestion, index) => el("li", {
      id: `suggestion-${index}`, role: "option", "aria-selected": "false",
      onpointerdown: (event) => { // before the field loses focus and the list closes
        event.preventDefault();
        this.#pick(index);
      },
    }, el("span", {}, suggestion.text), el("span", { class: "muted" }, text.search.kind[suggestion.kind] ?? ""))));
    this.list.hidden = suggestions.length === 0;
    this.input.setAttribute("aria-expanded", String(suggestions.length > 0));
    this.input.removeAttribute("aria-activedescendant");
  }

  #mark(index) {
    this.#active = index;
    [...this.list.children].forEach((option, i) => option.setAttribute("aria-selected", String(i === index)));
    if (index < 0) this.input.removeAttribute("aria-activedescendant");
    else this.input.setAttribute("aria-activedescendant", `suggestion-${index}`);
  }

  #pick(index) {
    const { text: words } = this.#options[index];
    this.close();
    this.choose(words);
  }
}
