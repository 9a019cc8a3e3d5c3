/** Light or dark: what the system says, until a person says otherwise. Runs before the first paint. */

import { el, fill } from "./dom.js";
import { icon } from "./icons.js";
import { text } from "./text.js";

const KEY = "loupe-theme";
const systemDark = matchMedia("(prefers-color-scheme: dark)");

function chosen() {
  return document.documentElement.dataset.theme ?? null;
}

function isDark() {
  return chosen() ? chosen() === "dark" : systemDark.matches;
}

/** Holds a choice only where it differs from the system, so that the page follows the system again afterwards. */
function choose(theme) {
  const system = systemDark.matches ? "dark" : "light";
  if (theme === null || theme === system) {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem(KEY);
  } else {
    document.documentElement.dataset.theme = theme;
    localStorage.setItem(KEY, theme);
  }
}

export class Theme extends HTMLElement {
  connectedCallback() {
    this.button = el("button", { type: "button", class: "quiet round", onclick: () => this.toggle() });
    this.replaceChildren(this.button);
    systemDark.addEventListener("change", () => this.render());
    this.render();
  }

  toggle() {
    choose(isDark() ? "light" : "dark");
    this.render();
  }

  render() {
    const label = isDark() ? text.theme.toLight : text.theme.toDark;
    this.button.setAttribute("aria-label", label);
    this.button.title = label;
    fill(this.button, icon(isDark() ? "sun" : "moon"));
  }
}

const stored = localStorage.getItem(KEY);
if (stored === "light" || stored === "dark") choose(stored);
customElements.define("loupe-theme", Theme);
