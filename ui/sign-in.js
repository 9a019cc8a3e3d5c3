/** `<loupe-sign-in>`: who is looking? A choice of demo people, or a field for a token. Sends `loupe-signed-in`. */

import * as api from "./api.js";
import { el, emit, fill } from "./dom.js";
import { icon } from "./icons.js";
import { text } from "./text.js";

export class SignIn extends HTMLElement {
  /** @param {"demo"|"token"} way @param {{user, name, about, roles}[]} people */
  show(way, people) {
    this.complaint = el("p", { class: "complaint", role: "alert" });
    fill(this, el("div", { class: "sign-in" },
      el("div", { class: "sign-in-head" },
        el("loupe-wordmark"),
        el("p", { class: "promise" }, text.promise)),
      el("div", { class: "sign-in-body" },
        el("h1", {}, text.signIn.title),
        el("p", { class: "muted" }, way === "demo" ? text.signIn.demo : text.signIn.token),
        way === "demo" ? this.cards(people) : this.tokenForm(),
        this.complaint)));
    this.hidden = false;
    this.querySelector("button, input")?.focus({ preventScroll: true });
  }

  cards(people) {
    return el("ul", { class: "people", role: "list" }, people.map((person) => el("li", {},
      el("button", { type: "button", class: "person-card", onclick: () => this.attempt(() => api.signIn(person.user)) },
        avatar(person.name),
        el("span", { class: "person-words" },
          el("strong", {}, person.name),
          el("span", { class: "muted" }, person.about)),
        icon("right")))));
  }

  tokenForm() {
    const field = el("input", { type: "password", id: "token", name: "token", autocomplete: "off", required: true, spellcheck: "false" });
    const send = (event) => {
      event.preventDefault();
      this.attempt(() => api.useToken(field.value.trim()));
    };
    return el("form", { class: "token-form", onsubmit: send },
      el("label", { for: "token" }, text.signIn.tokenLabel), field,
      el("button", { class: "primary" }, text.signIn.submit));
  }

  async attempt(step) {
    this.complaint.textContent = "";
    try {
      await step();
      const session = await api.session();
      if (!session.signedIn) throw new api.Problem({ status: 401 });
      this.hidden = true;
      emit(this, "loupe-signed-in", session);
    } catch (error) {
      if (!(error instanceof api.Problem)) throw error;
      api.useToken(null);
      this.complaint.textContent = error.status === 401 ? text.signIn.refused : error.message || text.error.unreachableDetail;
    }
  }
}

/** A person's initials in a disc. */
export function avatar(name) {
  const initials = name.split(/\s+/).filter(Boolean).map((word) => word[0]);
  return el("span", { class: "avatar", "aria-hidden": "true" }, [initials[0], initials.at(-1)].slice(0, initials.length).join(""));
}

customElements.define("loupe-sign-in", SignIn);
