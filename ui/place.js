/** Where the person is on the page: the query and the open asset, kept in the address so that back, reload and sharing work. */

import { fromParams, NOTHING, sameQuestion, toParams } from "./query.js";

export class Place extends EventTarget {
  constructor() {
    super();
    this.read();
    addEventListener("popstate", (event) => {
      const image = event.state?.image ? this.query.image : null; // an image lives only as long as its page
      this.read(image);
      this.announce();
    });
  }

  /** Asks something else. `live` marks a step on the way (typing), which leaves no entry in the history. */
  ask(query, { live = false } = {}) {
    const next = { ...this.query, ...query };
    const changed = !sameQuestion(next, this.query);
    this.query = next;
    if (changed) this.write({ live });
  }

  startOver() {
    this.ask(NOTHING);
  }

  /** Opens an asset, at a moment (seconds) or a page if given. Going from one open asset to another replaces it. */
  open(id, { at = null, page = null } = {}) {
    const live = this.asset !== null;
    this.asset = { id, at, page };
    this.write({ live, opened: live ? history.state?.opened : true });
  }

  /** Closes the asset: by going back to where it was opened from, if it was opened from this page. */
  close() {
    if (this.asset === null) return;
    if (history.state?.opened) {
      history.back();
      return;
    }
    this.asset = null;
    this.write({ live: true });
  }

  read(image = null) {
    const params = new URLSearchParams(location.search);
    this.query = { ...fromParams(params), image };
    const id = params.get("asset");
    this.asset = id ? { id, at: numberOf(params, "at"), page: numberOf(params, "page") } : null;
  }

  write({ live, opened = false }) {
    const params = toParams(this.query);
    if (this.asset) {
      params.set("asset", this.asset.id);
      for (const name of ["at", "page"]) if (this.asset[name] !== null) params.set(name, this.asset[name]);
    }
    const address = params.size ? `/?${params}` : "/";
    const state = { opened, image: this.query.image !== null };
    if (live) history.replaceState(state, "", address);
    else history.pushState(state, "", address);
    this.announce();
  }

  announce() {
    this.dispatchEvent(new Event("change"));
  }
}

function numberOf(params, name) {
  const value = Number.parseFloat(params.get(name) ?? "");
  return Number.isFinite(value) && value >= 0 ? value : null;
}
