/** `<loupe-search-box>`: words, an image, and what to leave out. Sends `loupe-ask` with the changed parts of the query. */

import * as api from "./api.js";
import { el, emit, fill } from "./dom.js";
import { icon } from "./icons.js";
import { Suggestions } from "./suggestions.js";
import { text } from "./text.js";

const TYPING_PAUSE = 200; // ms between the last keystroke and the search

export class SearchBox extends HTMLElement {
  #pause = 0;
  #thumbnail = null;
  #image = null;

  connectedCallback() {
    this.input = el("input", {
      id: "query", type: "text", inputmode: "search", enterkeyhint: "search", autocomplete: "off", spellcheck: "false",
      "aria-label": text.search.label, oninput: () => this.typed(), onkeydown: (event) => this.onKey(event),
    });
    this.suggestions = new Suggestions(this.input, (chosen) => this.say(chosen));
    this.chips = el("span", { class: "box-chips" });
    this.not = el("input", {
      type: "text", class: "not-input", "aria-label": text.search.withoutLabel, autocomplete: "off", size: "8",
      oninput: () => this.later({ not: this.not.value }), onblur: () => this.showNot(this.not.value !== ""),
      onkeydown: (event) => this.onNotKey(event),
    });
    this.notChip = el("span", { class: "box-chip not-chip", hidden: true }, el("span", {}, text.search.without), this.not,
      this.remover(text.search.removeWithout, () => this.dropNot()));
    this.clear = this.tool("close", text.search.clear, () => this.clearAll());
    this.addNot = this.tool("without", text.search.addWithout, () => this.startNot());
    this.file = el("input", { type: "file", accept: "image/*", hidden: true, onchange: () => this.pickFile() });
    fill(this, el("form", { class: "box", role: "search", onsubmit: (event) => this.commit(event) },
      icon("search"), this.chips, this.input, this.notChip,
      el("span", { class: "box-tools" }, this.clear, this.addNot,
        this.tool("image", text.search.addImage, () => this.file.click()), this.file),
      el("button", { type: "submit", hidden: true }), // without one, Enter sends no form that has two fields
      this.suggestions.list));
    const narrow = matchMedia("(max-width: 900px)");
    const hint = () => { this.input.placeholder = narrow.matches ? text.search.shortPlaceholder : text.search.placeholder; };
    narrow.addEventListener("change", hint);
    hint();
  }

  /** Shows `query`, without touching a field that is being typed in. */
  show(query) {
    if (document.activeElement !== this.input || this.#pause === 0) this.input.value = query.text;
    if (document.activeElement !== this.not) {
      this.not.value = query.not;
      this.showNot(query.not !== "");
    }
    this.showExample(query);
    this.clear.hidden = !(query.text || query.not || query.image || query.similarTo);
  }

  focusInput() {
    this.input.focus();
    this.input.select();
  }

  typed() {
    this.suggestions.ask(this.input.value);
    this.later({ text: this.input.value });
  }

  later(part) {
    clearTimeout(this.#pause);
    this.#pause = setTimeout(() => this.ask(part, true), TYPING_PAUSE);
  }

  ask(part, live = false) {
    clearTimeout(this.#pause);
    this.#pause = 0;
    emit(this, "loupe-ask", { part, live });
  }

  say(words) {
    this.input.value = words;
    this.settle();
  }

  commit(event) {
    event.preventDefault();
    this.suggestions.close();
    this.settle();
  }

  /** Asks what the fields say, as the end of what was being typed rather than as something new. */
  settle() {
    const part = { text: this.input.value, not: this.not.value };
    this.ask(part, true);
    this.ask(part);
  }

  clearAll() {
    this.suggestions.close();
    this.input.value = "";
    this.not.value = "";
    this.showNot(false);
    this.ask({ text: "", not: "", image: null, similarTo: null });
    this.input.focus();
  }

  onKey(event) {
    if (event.isComposing || this.suggestions.onKey(event)) return;
    if (event.key === "ArrowDown") emit(this, "loupe-to-results");
    else if (event.key === "Escape" && this.input.value) this.clearAll();
    else if (event.key === "Backspace" && !this.input.value && this.chips.childElementCount) this.dropExample();
    else return;
    event.preventDefault();
  }

  startNot() {
    this.showNot(true);
    this.not.focus();
  }

  showNot(shown) {
    this.notChip.hidden = !shown;
    this.addNot.hidden = shown;
  }

  dropNot() {
    this.not.value = "";
    this.showNot(false);
    this.ask({ not: "" });
    this.input.focus();
  }

  onNotKey(event) {
    const leaves = event.key === "Escape" || (event.key === "Backspace" && !this.not.value);
    if (!leaves) return;
    event.preventDefault();
    this.dropNot();
  }

  pickFile() {
    const [file] = this.file.files;
    this.file.value = ""; // so that the same file can be picked again
    if (file) emit(this, "loupe-image", file);
  }

  /** The picture that the search goes by, as a chip. */
  showExample({ image, similarTo }) {
    if (image === this.#image && similarTo === (this.chips.dataset.similarTo ?? null)) return;
    if (this.#thumbnail) URL.revokeObjectURL(this.#thumbnail);
    this.#thumbnail = image && URL.createObjectURL(image);
    this.#image = image;
    if (similarTo) this.chips.dataset.similarTo = similarTo;
    else delete this.chips.dataset.similarTo;
    if (!image && !similarTo) {
      fill(this.chips);
      return;
    }
    const picture = el("img", { alt: "", width: "32", height: "32", onerror: () => picture.remove() });
    if (image) picture.src = this.#thumbnail;
    else api.showPreview(picture, similarTo, 256).catch(() => picture.remove()); // no preview: the words are enough
    fill(this.chips, el("span", { class: "box-chip" }, picture,
      el("span", { class: "box-chip-words" }, image ? text.search.imageChip : text.search.similarChip),
      this.remover(text.search.removeImage, () => this.dropExample())));
  }

  dropExample() {
    this.ask({ image: null, similarTo: null });
    this.input.focus();
  }

  tool(name, label, onclick) {
    return el("button", { type: "button", class: "quiet round", "aria-label": label, title: label, onclick }, icon(name));
  }

  remover(label, onclick) {
    return el("button", { type: "button", class: "chip-remove", "aria-label": label, title: label, onclick }, icon("close"));
  }
}

customElements.define("loupe-search-box", SearchBox);
