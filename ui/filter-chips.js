/** `<loupe-filter-chips>`: the filters in force, each with a way to drop it. Sends `loupe-ask`, `loupe-toggle-facets`. */

import { dayWords } from "./dates.js";
import { el, emit, fill } from "./dom.js";
import { facetLabel, LIST_FACETS } from "./facet-values.js";
import { icon } from "./icons.js";
import { hasFilters, NO_FILTERS, toggled } from "./query.js";
import { text } from "./text.js";

export class FilterChips extends HTMLElement {
  show(query) {
    const chips = [
      ...LIST_FACETS.flatMap((name) => query[name].map((value) => [facetLabel(name, value), toggled(query, name, value)])),
      query.aiGenerated !== null && [text.facets.aiGenerated[query.aiGenerated], { aiGenerated: null }],
      query.createdFrom && [text.facets.createdFrom(dayWords(query.createdFrom)), { createdFrom: "" }],
      query.createdTo && [text.facets.createdTo(dayWords(query.createdTo)), { createdTo: "" }],
    ].filter(Boolean);
    fill(this,
      el("button", { type: "button", class: "open-facets", onclick: () => emit(this, "loupe-toggle-facets") },
        icon("filters"), text.facets.open, chips.length > 0 && el("span", { class: "tally" }, chips.length)),
      chips.map(([label, part]) => el("span", { class: "chip" }, label,
        el("button", {
          type: "button", class: "chip-remove", "aria-label": text.facets.remove(label),
          onclick: () => emit(this, "loupe-ask", { part, live: false }),
        }, icon("close")))),
      hasFilters(query) && chips.length > 1 && el("button", {
        type: "button", class: "quiet", onclick: () => emit(this, "loupe-ask", { part: NO_FILTERS, live: false }),
      }, text.facets.clearAll));
  }
}

customElements.define("loupe-filter-chips", FilterChips);
