/** One hit as a card: preview, labels, title, and why it is here. Sends `loupe-open`, `loupe-similar`. */

import { linksSignedIn, previewUrl, showPreview } from "./api.js";
import { clock } from "./dates.js";
import { el, emit } from "./dom.js";
import { excerpt, matchedTerms } from "./excerpt.js";
import { icon } from "./icons.js";
import { hasUsage, toParams } from "./query.js";
import { briefReasons } from "./rights.js";
import { text } from "./text.js";

const REASONS = 2; // shown on a card; the detail has all

/** @returns {HTMLLIElement} */
export function card(hit, query) {
  const { asset } = hit;
  const open = (event, place = {}) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a new tab, as with every link
    event.preventDefault();
    emit(item, "loupe-open", { id: asset.id, ...place });
  };
  const item = el("li", { class: "card", "data-id": asset.id },
    el("a", { class: "card-open", href: address(query, asset.id), onclick: open },
      el("span", { class: `shot ${asset.type}` }, preview(asset), corner(asset), labels(hit, query)),
      el("span", { class: "card-title" }, asset.title)),
    el("div", { class: "why" }, reasons(hit).slice(0, REASONS).map((why) => reason(why, matchedTerms(hit), open))),
    asset.hasPreview && el("button", {
      type: "button", class: "round similar", "aria-label": text.results.similar(asset.title), title: text.results.similar(asset.title),
      onclick: () => emit(item, "loupe-similar", asset.id),
    }, icon("similar")));
  return item;
}

function address(query, id) {
  const params = toParams(query);
  params.set("asset", id);
  return `/?${params}`;
}

function preview(asset) {
  if (!asset.hasPreview) return el("span", { class: "no-preview" }, icon(asset.type));
  const img = el("img", { alt: asset.altText || "", loading: "lazy", decoding: "async", width: asset.width || 4, height: asset.height || 3 });
  img.onerror = () => img.replaceWith(el("span", { class: "no-preview" }, icon(asset.type)));
  if (linksSignedIn()) img.srcset = `${previewUrl(asset.id, 256)} 256w, ${previewUrl(asset.id, 640)} 640w`;
  img.sizes = "(max-width: 640px) 50vw, 280px";
  showPreview(img, asset.id, 640).catch(() => img.onerror());
  return img;
}

/** What kind of thing it is, where that is not a picture. */
function corner(asset) {
  if (asset.type === "image") return null;
  const size = asset.duration ? clock(asset.duration) : asset.pages ? text.badge.pages(asset.pages) : text.facets.type[asset.type];
  return el("span", { class: "kind" }, icon(asset.type), size);
}

function labels({ asset, clearance }, query) {
  const blocked = !clearance.cleared;
  return el("span", { class: "labels" },
    blocked && el("span", { class: "label blocked", title: briefReasons(clearance.reasons) }, icon("blocked"), briefReasons(clearance.reasons)),
    !blocked && hasUsage(query) && el("span", { class: "label cleared" }, icon("check"), text.badge.cleared),
    asset.aiGenerated && el("span", { class: "label ai" }, icon("sparkle"), text.badge.ai),
    asset.sensitive && el("span", { class: "label" }, text.badge.sensitive),
    asset.status && asset.status !== "approved" && el("span", { class: "label" }, text.status[asset.status]));
}

/** The reasons worth a line: words in a passage that is quoted anyway are marked there instead. */
function reasons({ why }) {
  const quoted = why.filter((one) => one.leg === "passage" && placed(one));
  return why.filter((one) => one.leg !== "keyword" || !quoted.some((other) => samePlace(one, other)));
}

const samePlace = (a, b) => a.start === b.start && a.page === b.page;

const placed = (why) => typeof why.start === "number" || Boolean(why.page);

/** Why it is here: how it looks, which words, or what is said at which moment (which opens there). */
function reason(why, terms, open) {
  const where = typeof why.start === "number" ? clock(why.start) : why.page ? text.why.onPage(why.page) : "";
  if (why.leg === "visual") return where ? jump(why, open, where, text.why.visual) : plain(text.why.visual);
  if (where) return jump(why, open, where, el("q", {}, excerpt(why.text, terms)));
  return plain(why.terms?.length ? text.why.words(why.terms.join(", ")) : text.why.wordsPlain);
}

const plain = (words) => el("span", { class: "reason" }, words);

function jump(why, open, where, words) {
  const place = { at: why.start ?? null, page: why.page ?? null };
  return el("button", { type: "button", class: "reason jump", onclick: (event) => open(event, place) },
    icon(place.at === null ? "document" : "play"), el("span", {}, el("span", { class: "where" }, where), " ", words));
}
