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

  /**
   * Asks something else. The `live` steps of one phrase (typing) share an entry in the history, which asking in
   * earnest settles; `closing` leaves the open asset.
   */
  ask(query, { live = false, closing = false } = {}) {
    const next = { ...this.query, ...query };
    const leaves = closing && this.asset !== null;
    if (leaves) this.asset = null;
    if (leaves || !sameQuestion(next, this.query)) {
      this.query = next; // otherwise the same object stays: nobody asks the server the same twice
      this.write({ replacing: live && this.drafting, drafting: live });
    } else if (!live) this.settle();
  }

  startOver() {
    this.ask(NOTHING, { closing: true });
  }

  /** Opens an asset, at a moment (seconds) or a page if given. Going from one open asset to another replaces it. */
  open(id, { at = null, page = null } = {}) {
    const replacing = this.asset !== null;
    this.asset = { id, at, page };
    this.write({ replacing, opened: replacing ? history.state?.opened : true });
  }

  /** Closes the asset: by going back to where it was opened from, if it was opened from this page. */
  close() {
    if (this.asset === null) return;
    if (history.state?.opened) {
      history.back();
      return;
    }
    this.asset = null;
    this.write({ replacing: true });
  }

  /** Whether the entry of the history one is at is a phrase still being typed. */
  get drafting() {
    return history.state?.drafting ?? false;
  }

  /** Makes the entry one is at last: what is typed from now on gets one of its own. */
  settle() {
    if (this.drafting) history.replaceState({ ...history.state, drafting: false }, "");
  }

  read(image = null) {
    const params = new URLSearchParams(location.search);
    const query = { ...fromParams(params), image };
    if (!this.query || !sameQuestion(query, this.query)) this.query = query; // closing an asset is no new question
    const id = params.get("asset");
    this.asset = id ? { id, at: numberOf(params, "at"), page: numberOf(params, "page") } : null;
  }

  write({ replacing, opened = false, drafting = false }) {
    const params = toParams(this.query);
    if (this.asset) {
      params.set("asset", this.asset.id);
      for (const name of ["at", "page"]) if (this.asset[name] !== null) params.set(name, this.asset[name]);
    }
    const address = params.size ? `/?${params}` : "/";
    const state = { opened, drafting, image: this.query.image !== null };
    if (replacing) history.replaceState(state, "", address);
    else {
      this.settle();
      history.pushState(state, "", address);
    }
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
