/** `<loupe-balance>`: what the words count beside the picture; there only while both are asked. Sends `loupe-ask`. */

import { el, emit, fill } from "./dom.js";
import { hasWordsAndPicture } from "./query.js";
import { text } from "./text.js";

export class Balance extends HTMLElement {
  connectedCallback() {
    this.slider = el("input", {
      type: "range", min: "0", max: "100", step: "10", "aria-label": text.balance.label,
      oninput: () => this.tell(),
      onchange: () => emit(this, "loupe-ask", { part: { textWeight: (100 - this.slider.value) / 100 }, live: false }),
    });
    fill(this, el("span", { "aria-hidden": "true" }, text.balance.words), this.slider,
      el("span", { "aria-hidden": "true" }, text.balance.picture));
    this.hidden = true;
  }

  show(query) {
    this.hidden = !hasWordsAndPicture(query);
    this.slider.value = String(Math.round(100 * (1 - query.textWeight)));
    this.tell();
  }

  tell() {
    this.slider.setAttribute("aria-valuetext", text.balance.value(100 - this.slider.value));
  }
}

customElements.define("loupe-balance", Balance);
