/** `<loupe-person>`: who is signed in, and a menu to look as somebody else. Sends `loupe-signed-in` or `loupe-signed-out`. */

import * as api from "./api.js";
import { el, emit, fill } from "./dom.js";
import { icon } from "./icons.js";
import { avatar } from "./sign-in.js";
import { text } from "./text.js";

export class Person extends HTMLElement {
  /** @param session the session shown @param people whom one may switch to (none without demo sign-in) */
  show(session, people) {
    this.menu = el("div", { class: "menu", role: "menu", hidden: true, onkeydown: (event) => this.onMenuKey(event) },
      people.length > 0 && el("p", { class: "menu-title", role: "presentation" }, text.person.switchTo),
      people.map((person) => this.entry(person, person.user === session.user)),
      el("button", { type: "button", role: "menuitem", tabindex: "-1", class: "menu-item", onclick: () => this.leave() },
        icon("leave"), text.person.signOut));
    this.button = el("button", {
      type: "button", class: "quiet person-button", "aria-haspopup": "menu", "aria-expanded": "false",
      "aria-label": text.person.menu(session.name), onclick: () => this.toggle(this.menu.hidden),
    }, avatar(session.name), el("span", { class: "person-name" }, session.name), icon("down"));
    fill(this, this.button, this.menu);
  }

  connectedCallback() {
    this.addEventListener("focusout", (event) => {
      if (!this.contains(event.relatedTarget)) this.toggle(false);
    });
  }

  entry(person, current) {
    return el("button", {
      type: "button", role: "menuitemradio", tabindex: "-1", class: "menu-item", "aria-checked": String(current),
      onclick: () => this.switchTo(person.user),
    }, avatar(person.name),
    el("span", { class: "person-words" }, el("strong", {}, person.name), el("span", { class: "muted" }, person.about)),
    current && icon("check"));
  }

  toggle(open) {
    if (!this.menu) return;
    this.menu.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
    if (open) (this.menu.querySelector("[aria-checked=true]") ?? this.items()[0]).focus();
  }

  items() {
    return [...this.menu.querySelectorAll(".menu-item")];
  }

  onMenuKey(event) {
    const items = this.items();
    const here = items.indexOf(document.activeElement);
    const to = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: items.length - 1 }[event.key];
    if (event.key === "Escape") {
      this.toggle(false);
      this.button.focus();
    } else if (to !== undefined) items[(to + items.length) % items.length].focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  async switchTo(user) {
    this.toggle(false);
    await this.attempt(async () => {
      await api.signIn(user);
      emit(this, "loupe-signed-in", await api.session());
    });
  }

  async leave() {
    await this.attempt(async () => {
      await api.signOut();
      emit(this, "loupe-signed-out");
    });
  }

  async attempt(step) {
    try {
      await step();
    } catch (error) {
      if (!(error instanceof api.Problem)) throw error;
      emit(this, "loupe-problem", error);
    }
  }
}

customElements.define("loupe-person", Person);
