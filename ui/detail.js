/** `<loupe-detail>`: one asset in full, over the results. Sends `loupe-open`, `loupe-close`, `loupe-similar`. */

import * as api from "./api.js";
import { momentWords } from "./dates.js";
import { el, emit, fill, isTyping, linkable, outside } from "./dom.js";
import { matchedTerms } from "./excerpt.js";
import { icon } from "./icons.js";
import { Player } from "./player.js";
import { hasUsage, NOTHING } from "./query.js";
import { channelWords, explainReasons, territoryWords, usageWords, validityWords } from "./rights.js";
import { LOCALE, text } from "./text.js";

export class Detail extends HTMLElement {
  #shown = ""; // what is on screen: the asset and the use it is judged for
  #hits = [];
  #query = NOTHING;
  #place = null;
  #request = null;
  #player = null;

  connectedCallback() {
    this.dialog = el("dialog", {
      class: "detail", "aria-label": text.detail.label, onclose: () => this.#place && emit(this, "loupe-close"),
      onclick: (event) => event.target === this.dialog && this.dialog.close(), onkeydown: (event) => this.onKey(event),
    });
    fill(this, this.dialog);
  }

  /** @param place {id, at, page} or null for nothing open @param hits the results, to walk along */
  show(place, query = NOTHING, hits = []) {
    const walked = hits !== this.#hits;
    this.#hits = hits;
    this.#query = query;
    const before = this.#place;
    this.#place = place;
    if (!place) {
      this.put();
      return;
    }
    const wanted = JSON.stringify([place.id, query.usage]);
    if (wanted === this.#shown) {
      if (walked) this.dialog.querySelector(".detail-top")?.replaceWith(this.top(place.id));
      if (before && (before.at !== place.at || before.page !== place.page)) this.#player?.goTo(place);
      return;
    }
    this.#shown = wanted;
    this.load(place, query);
  }

  put() {
    this.#request?.abort();
    this.#player?.stop();
    this.#player = null;
    this.#shown = "";
    if (this.dialog.open) this.dialog.close();
    fill(this.dialog);
  }

  async load(place, query) {
    this.#request?.abort();
    this.#request = new AbortController();
    const { signal } = this.#request;
    try {
      const found = await api.asset(place.id, hasUsage(query) ? query.usage : null, signal);
      if (!signal.aborted) this.render(found, place, query);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof api.Problem)) throw error;
      this.apologise(error);
    }
    if (!this.dialog.open) this.dialog.showModal();
  }

  render({ asset, clearance, passages }, place, query) {
    this.#player?.stop();
    this.#player = new Player(asset, passages, matchedTerms(this.#hits.find((hit) => hit.asset.id === asset.id)));
    this.dialog.setAttribute("aria-label", asset.title);
    const info = el("div", { class: "info" },
      el("h1", {}, asset.title),
      asset.aiGenerated && el("p", { class: "ai-note" }, icon("sparkle"), text.detail.ai),
      verdict(asset, clearance, query),
      this.actions(asset, clearance, query),
      asset.description && el("p", { class: "description" }, asset.description),
      credit(asset.rights.creditLine),
      this.#player.transcript,
      facts(text.detail.rights, rightsFacts(asset)),
      facts(text.detail.about, aboutFacts(asset)));
    fill(this.dialog, this.top(asset.id), el("div", { class: "detail-body" }, this.#player.stage, info));
    info.scrollTop = 0;
    this.#player.goTo(place);
  }

  apologise(error) {
    this.#player = null;
    const missing = error.status === 404;
    fill(this.dialog, this.top(null), el("div", { class: "notice", role: "alert" }, icon("alert"),
      el("h2", {}, missing ? text.error.missing : text.error.general),
      el("p", { class: "muted" }, missing ? text.error.missingDetail : error.message || text.error.unreachableDetail)));
  }

  top(id) {
    const here = this.#hits.findIndex((hit) => hit.asset.id === id);
    const step = (name, label, to) => el("button", {
      type: "button", class: "quiet round", "aria-label": label, title: label, disabled: !this.#hits[to],
      onclick: () => this.walk(to),
    }, icon(name));
    return el("div", { class: "detail-top" },
      here >= 0 && [step("left", text.detail.previous, here - 1), step("right", text.detail.next, here + 1),
        el("span", { class: "muted" }, text.detail.position(here + 1, this.#hits.length))],
      el("button", {
        type: "button", class: "quiet round close", "aria-label": text.close, title: text.close, autofocus: true,
        onclick: () => this.dialog.close(),
      }, icon("close")));
  }

  actions(asset, clearance, query) {
    const may = asset.mayUse && clearance.cleared;
    return el("div", { class: "actions" },
      may ? download(asset, query) : el("button", { type: "button", class: "primary", disabled: true }, icon("download"), text.detail.download),
      el("button", { type: "button", onclick: () => emit(this, "loupe-similar", asset.id) }, icon("similar"), text.detail.similar),
      !may && el("p", { class: "muted" }, asset.mayUse ? text.detail.downloadBlocked : text.detail.noUsePermission));
  }

  walk(to) {
    const hit = this.#hits[to];
    if (hit) emit(this, "loupe-open", { id: hit.asset.id });
  }

  onKey(event) {
    if (isTyping(event.target) || event.target.matches("video, audio")) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    this.walk(this.#hits.findIndex((hit) => hit.asset.id === this.#place?.id) + step);
  }
}

/** The answer to "may I use it, and if not, why not and what now?" */
function verdict(asset, clearance, query) {
  const use = usageWords(query.usage);
  if (clearance.cleared) {
    return el("div", { class: "verdict cleared" }, icon("check"), el("div", {},
      el("strong", {}, use ? text.detail.clearedFor(use) : text.detail.cleared),
      !use && el("p", { class: "muted" }, text.detail.nameUse)));
  }
  return el("div", { class: "verdict blocked" }, icon("blocked"), el("div", {},
    el("strong", {}, use ? text.detail.notClearedFor(use) : text.detail.notCleared),
    el("ul", {}, explainReasons(clearance.reasons, asset.rights, Boolean(use))
      .map(({ what, todo }) => el("li", {}, what, " ", el("span", { class: "muted" }, todo))))));
}

function download(asset, query) {
  const usage = hasUsage(query) ? query.usage : null;
  const words = [icon("download"), text.detail.download];
  if (api.linksSignedIn()) return el("a", { class: "button primary", href: api.downloadUrl(asset.id, usage), download: asset.fileName }, words);
  const save = async () => {
    const url = URL.createObjectURL(await api.download(asset.id, usage));
    el("a", { href: url, download: asset.fileName }).click();
    URL.revokeObjectURL(url);
  };
  return el("button", { type: "button", class: "primary", onclick: save }, words);
}

function credit(line) {
  if (!line) return null;
  const button = el("button", { type: "button", class: "quiet", onclick: () => copy() }, icon("copy"), text.detail.copy);
  const words = el("span", { class: "credit-line" }, line);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(line);
      fill(button, icon("check"), text.detail.copied);
    } catch {
      getSelection().selectAllChildren(words); // no permission to write to the clipboard: one key away
      fill(button, icon("copy"), text.detail.copyFailed);
    }
  };
  return el("div", { class: "credit" }, el("h2", {}, text.detail.credit), el("p", {}, words, button));
}

function facts(title, entries) {
  const said = entries.filter(([, value]) => value);
  return said.length > 0 && el("section", { class: "facts" }, el("h2", {}, title),
    el("dl", {}, said.map(([name, value]) => [el("dt", {}, text.detail.fields[name]), el("dd", {}, value)])));
}

function rightsFacts({ rights }) {
  const licence = text.rights.licences[rights.licence];
  const release = (state) => state && state !== "not_needed" && text.rights.releases[state];
  return [
    ["licence", outside(rights.licenceUrl, licence)], ["holder", rights.holder], ["territory", territoryWords(rights)],
    ["channels", channelWords(rights)], ["period", validityWords(rights)], ["modelRelease", release(rights.modelRelease)],
    ["propertyRelease", release(rights.propertyRelease)], ["usageTerms", rights.usageTerms],
    ["source", linkable(rights.source) ? outside(rights.source, text.rights.viewSource) : rights.source],
  ];
}

function aboutFacts(asset) {
  const size = asset.width && asset.type !== "document" ? `${asset.width} × ${asset.height}` : "";
  return [
    ["creator", asset.creator], ["created", asset.created && momentWords(asset.created)], ["added", momentWords(asset.added)],
    ["collection", asset.collection], ["keywords", asset.keywords.join(", ")], ["file", asset.fileName],
    ["size", [size, bytes(asset.byteSize)].filter(Boolean).join(", ")], ["altText", asset.altText],
  ];
}

function bytes(size) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  const power = size ? Math.min(units.length - 1, Math.floor(Math.log10(size) / 3)) : 0;
  const value = size / 1000 ** power;
  return new Intl.NumberFormat(LOCALE, { style: "unit", unit: units[power], maximumFractionDigits: value < 10 && power ? 1 : 0 }).format(value);
}

customElements.define("loupe-detail", Detail);
