/** What an asset shows or plays, and the words in it, tied together: a word leads to its moment, the moment marks its words. */

import { linksSignedIn, playbackUrl, previewUrl, showPreview } from "./api.js";
import { clock } from "./dates.js";
import { el } from "./dom.js";
import { icon } from "./icons.js";
import { text } from "./text.js";

export class Player {
  /** `stage` holds the picture or the player, `transcript` the words (null where there are none). */
  constructor(asset, passages) {
    this.asset = asset;
    this.media = asset.hasPlayback && linksSignedIn() ? media(asset) : null;
    this.stage = el("div", { class: `stage ${asset.type}` }, this.media ?? picture(asset), asset.type === "audio" && icon("audio"));
    this.passages = passages.map((passage) => ({ passage, row: this.row(passage) }));
    this.transcript = passages.length > 0 && el("section", { class: "transcript" },
      el("h2", {}, asset.type === "document" ? text.detail.pageTexts : text.detail.transcript),
      el("ol", { role: "list" }, this.passages.map(({ row }) => row)));
    this.media?.addEventListener("timeupdate", () => this.mark(({ start, end }) => start <= this.media.currentTime && this.media.currentTime < end));
  }

  /** Goes to a moment (seconds) or a page, and marks the words there. */
  goTo({ at = null, page = null } = {}) {
    if (at !== null && this.media) {
      this.media.currentTime = at;
      this.mark(({ start, end }) => start <= at && at < end, true);
    } else if (page !== null) this.mark((passage) => passage.page === page, true);
  }

  stop() {
    this.media?.pause();
  }

  row(passage) {
    if (typeof passage.start !== "number") {
      return el("li", {}, el("span", { class: "place" }, passage.page ? text.detail.page(passage.page) : ""), el("span", {}, passage.text));
    }
    const play = () => {
      if (!this.media) return;
      this.media.currentTime = passage.start;
      this.media.play();
    };
    return el("li", {}, el("button", { type: "button", class: "moment", onclick: play },
      el("span", { class: "place" }, clock(passage.start)), el("span", {}, passage.text)));
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
