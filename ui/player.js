/** What an asset shows or plays, and the words in it, tied together: a word leads to its moment, the moment marks its words. */

import { linksSignedIn, playbackUrl, previewUrl, showPreview } from "./api.js";
import { clock } from "./dates.js";
import { el } from "./dom.js";
import { marked } from "./excerpt.js";
import { icon } from "./icons.js";
import { text } from "./text.js";

export class Player {
  /**
   * `stage` holds the picture or the player, `transcript` the words (false where there are none).
   * @param {string[]} terms words to mark in the transcript
   */
  constructor(asset, passages, terms = []) {
    this.terms = terms;
    this.media = asset.hasPlayback && linksSignedIn() ? media(asset) : null;
    this.stage = el("div", { class: `stage ${asset.type}` }, this.media ?? picture(asset), asset.type === "audio" && icon("audio"));
    this.passages = passages.map((passage) => ({ passage, row: this.row(passage) }));
    this.transcript = passages.length > 0 && el("section", { class: "transcript" },
      el("h2", {}, asset.type === "document" ? text.detail.pageTexts : text.detail.transcript),
      el("ol", { role: "list" }, this.passages.map(({ row }) => row)));
    this.media?.addEventListener("timeupdate", () => this.mark(({ start, end }) => start <= this.media.currentTime && this.media.currentTime < end));
  }

  /** Goes to a moment (seconds) or a page, and marks the words there. A click that led here means: play. */
  goTo({ at = null, page = null } = {}) {
    if (at !== null && this.media) {
      this.media.currentTime = at;
      this.mark(({ start, end }) => start <= at && at < end, true);
      if (navigator.userActivation?.isActive) this.play();
    } else if (page !== null) this.mark((passage) => passage.page === page, true);
  }

  play() {
    this.media.play().catch(() => this.media.pause()); // not allowed to, or closed meanwhile: its own button still is there
  }

  stop() {
    this.media?.pause();
  }

  row(passage) {
    const words = el("span", {}, marked(passage.text, this.terms));
    if (typeof passage.start !== "number") {
      return el("li", {}, el("span", { class: "place" }, passage.page ? text.detail.page(passage.page) : ""), words);
    }
    const play = () => {
      if (!this.media) return;
      this.media.currentTime = passage.start;
      this.play();
    };
    return el("li", {}, el("button", { type: "button", class: "moment", onclick: play },
      el("span", { class: "place" }, clock(passage.start)), words));
  }

  mark(isHere, scroll = false) {
    const first = this.passages.find(({ passage }) => isHere(passage));
    for (const one of this.passages) one.row.classList.toggle("here", one === first);
    if (scroll) first?.row.scrollIntoView({ block: "center" });
  }
}

function media(asset) {
  const poster = asset.hasPreview ? previewUrl(asset.id, 1280) : null;
  return el(asset.type === "audio" ? "audio" : "video", { controls: true, preload: "metadata", playsinline: true, poster, src: playbackUrl(asset.id) });
}

function picture(asset) {
  if (!asset.hasPreview) return el("span", { class: "no-preview" }, icon(asset.type));
  const img = el("img", { alt: asset.altText || asset.title, width: asset.width || null, height: asset.height || null });
  showPreview(img, asset.id, 1280).catch(() => img.replaceWith(el("span", { class: "no-preview" }, icon(asset.type))));
  return img;
}
