/** `<loupe-facets>`: what the results could be narrowed by, with counts. Sends `loupe-ask` with the changed filters. */

import { el, emit, fill } from "./dom.js";
import { facetLabel } from "./facet-values.js";
import { icon } from "./icons.js";
import { hasFilters, NO_FILTERS, toggled } from "./query.js";
import { text } from "./text.js";

const ORDER = ["type", "collection", "keyword", "orientation", "aiGenerated", "status"];
const SHOWN = 7; // values of a facet before "more"

export class Facets extends HTMLElement {
  #whole = new Set(); // facets whose every value is shown
  #query = null;
  #answer = null;

  connectedCallback() {
    this.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.classList.contains("open")) this.toggle();
    });
    matchMedia("(min-width: 901px)").addEventListener("change", () => this.classList.contains("open") && this.toggle());
  }

  /** Opens or closes the drawer that the filters are on a small screen. */
  toggle() {
    const open = this.classList.toggle("open");
    document.body.classList.toggle("behind", open);
    // What lies behind the drawer is out of the keyboard's reach.
    for (const covered of document.querySelectorAll(".skip, .bar, #results")) covered.inert = open;
    (open ? this.querySelector(".close-facets") : document.querySelector(".open-facets"))?.focus();
  }

  show(query, answer) {
    this.#query = query;
    this.#answer = answer;
    const focused = document.activeElement?.dataset?.facet;
    fill(this, el("aside", { "aria-label": text.facets.title },
      el("div", { class: "facets-head" },
        el("h2", {}, text.facets.title),
        hasFilters(query) && el("button", { type: "button", class: "quiet", onclick: () => this.ask(NO_FILTERS) }, text.facets.clearAll),
        el("button", { type: "button", class: "quiet round close-facets", "aria-label": text.close, onclick: () => this.toggle() }, icon("close"))),
      ORDER.map((name) => this.group(name)),
      this.created(),
      el("button", { type: "button", class: "primary show-results", onclick: () => this.toggle() }, text.facets.show(answer.total))));
    if (focused) this.querySelector(`[data-facet="${CSS.escape(focused)}"]`)?.focus();
  }

  group(name) {
    const counts = this.#answer.facets[name];
    const picked = this.picked(name);
    if (!counts || (Object.keys(counts).length < 2 && !picked.length)) return null;
    const all = Object.entries({ ...Object.fromEntries(picked.map((value) => [value, 0])), ...counts })
      .sort(([a, n], [b, m]) => m - n || a.localeCompare(b));
    const whole = this.#whole.has(name) || all.length <= SHOWN + 1;
    const values = whole ? all : all.filter(([value], place) => place < SHOWN || picked.includes(value));
    return el("fieldset", { class: "facet" },
      el("legend", {}, text.facets.names[name]),
      values.map(([value, n]) => this.value(name, value, n, picked.includes(value))),
      all.length > SHOWN + 1 && el("button", { type: "button", class: "quiet more-values", onclick: () => this.fold(name) },
        this.#whole.has(name) ? text.facets.fewer : text.facets.more(all.length - values.length)));
  }

  value(name, value, n, checked) {
    return el("label", { class: "facet-value" },
      el("input", { type: "checkbox", checked, "data-facet": `${name}:${value}`, onchange: () => this.pick(name, value) }),
      el("span", {}, facetLabel(name, value)), el("span", { class: "tally" }, n));
  }

  created() {
    const day = (name, label) => el("label", { class: "day" }, el("span", {}, label), el("input", {
      type: "date", value: this.#query[name], "data-facet": name, onchange: (event) => this.ask({ [name]: event.target.value }),
    }));
    return el("fieldset", { class: "facet" }, el("legend", {}, text.facets.names.created),
      el("div", { class: "days" }, day("createdFrom", text.facets.from), day("createdTo", text.facets.to)));
  }

  picked(name) {
    if (name !== "aiGenerated") return this.#query[name];
    return this.#query.aiGenerated === null ? [] : [String(this.#query.aiGenerated)];
  }

  pick(name, value) {
    if (name !== "aiGenerated") this.ask(toggled(this.#query, name, value));
    else this.ask({ aiGenerated: this.picked(name).includes(value) ? null : value === "true" });
  }

  fold(name) {
    if (!this.#whole.delete(name)) this.#whole.add(name);
    this.show(this.#query, this.#answer);
  }

  ask(part) {
    emit(this, "loupe-ask", { part, live: false });
  }
}

customElements.define("loupe-facets", Facets);
