/** `<loupe-results>`: the answer as a grid, and everything that may be said in its place. Sends `loupe-more`, `loupe-ask`. */

import { card } from "./card.js";
import { el, emit, fill } from "./dom.js";
import { icon } from "./icons.js";
import { hasFilters, hasUsage, isBrowsing, NO_FILTERS, NOTHING } from "./query.js";
import { reasonCounts } from "./rights.js";
import { text } from "./text.js";

const SKELETONS = 12;
const PATIENCE = 300; // ms before an empty page shows that it is loading; answers are mostly quicker

export class Results extends HTMLElement {
  #timer = 0;
  #weak = false; // whether the break before weaker matches has been set

  connectedCallback() {
    this.addEventListener("keydown", (event) => this.onKey(event));
    this.sentinel = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) emit(this, "loupe-more");
    }, { rootMargin: "600px" });
  }

  loading() {
    clearTimeout(this.#timer);
    this.setAttribute("aria-busy", "true");
    this.#timer = setTimeout(() => {
      if (this.querySelector(".card")) this.classList.add("stale");
      else fill(this, el("div", { class: "grid", "aria-label": text.results.loading },
        Array.from({ length: SKELETONS }, () => el("div", { class: "skeleton" }))));
    }, PATIENCE);
  }

  show(query, answer) {
    this.settle();
    this.#weak = false;
    if (!answer.hits.length) {
      fill(this, this.notCleared(query, answer), this.empty(query, answer));
      return;
    }
    this.body = el("div", { class: "grids" });
    fill(this, this.heading(query, answer), this.notCleared(query, answer), this.body);
    this.add(query, answer.hits);
    this.end(answer);
    if (window.scrollY > 0) window.scrollTo({ top: 0 });
  }

  extend(query, hits, answer) {
    this.settle();
    this.add(query, hits);
    this.end(answer);
  }

  /** Says what went wrong and, where trying again makes sense, offers it. */
  problem(error, again = null, words = text.tryAgain) {
    this.settle();
    const unreachable = error.type === "unreachable";
    fill(this, el("div", { class: "notice", role: "alert" }, icon("alert"),
      el("h2", {}, unreachable ? text.error.unreachable : text.error.general),
      el("p", {}, unreachable ? text.error.unreachableDetail : error.message),
      el("p", { class: "muted" }, unreachable ? text.error.unreachableRemedy : error.remedy),
      again && el("button", { type: "button", class: "primary", onclick: again }, words)));
  }

  focusFirst() {
    this.querySelector(".card-open")?.focus();
  }

  /** Goes back to the card of an asset that was open, if it is among the results. */
  focusCard(id) {
    this.querySelector(`.card[data-id="${CSS.escape(id)}"] .card-open`)?.focus();
  }

  settle() {
    clearTimeout(this.#timer);
    this.classList.remove("stale");
    this.removeAttribute("aria-busy");
  }

  heading(query, answer) {
    const words = query.image ? (query.text ? text.results.likeAnd(query.text) : text.results.likeImage)
      : query.similarTo ? text.results.likeAsset
        : isBrowsing(query) ? (hasFilters(query) ? text.results.filtered : text.results.newest) : text.results.forText(query.text);
    return el("div", { class: "results-head" }, el("h1", {}, words), el("p", { class: "muted" }, text.results.count(answer.total)));
  }

  notCleared(query, answer) {
    const { total, byReason } = answer.notCleared;
    if (!hasUsage(query) || !total) return null;
    const shown = query.includeNotCleared;
    return el("p", { class: "not-cleared" }, icon("shield"),
      el("span", {}, shown ? text.results.notClearedShown(total) : text.results.notCleared(total), ": ", reasonCounts(byReason), "."),
      el("button", {
        type: "button", class: "quiet", onclick: () => this.ask({ includeNotCleared: !shown }),
      }, shown ? text.results.hideNotCleared : text.results.showNotCleared));
  }

  add(query, hits) {
    const strong = this.#weak ? [] : hits.filter((hit) => !hit.weak);
    const weak = hits.slice(strong.length);
    if (strong.length) this.grid(query, strong);
    if (weak.length && !this.#weak) {
      const only = !this.body.querySelector(".card");
      this.body.append(el("div", { class: "break" }, !only && el("h2", {}, text.results.weakTitle),
        el("p", { class: "muted" }, only ? text.results.onlyWeak : text.results.weakLead)));
      this.body.append(el("ul", { class: "grid weak", role: "list", "aria-label": text.results.weakTitle }));
      this.#weak = true;
    }
    if (weak.length) this.grid(query, weak);
  }

  grid(query, hits) {
    let list = this.body.querySelector(":scope > ul:last-of-type");
    if (!list) {
      list = el("ul", { class: "grid", role: "list", "aria-label": text.results.list });
      this.body.append(list);
    }
    list.append(...hits.map((hit) => card(hit, query)));
  }

  end(answer) {
    this.sentinel.disconnect();
    this.querySelector(".more")?.remove();
    if (!answer.nextCursor) return;
    const more = el("button", { type: "button", class: "more", onclick: () => emit(this, "loupe-more") }, text.results.more);
    this.body.after(more);
    this.sentinel.observe(more);
  }

  empty(query, answer) {
    const ways = [
      hasUsage(query) && !query.includeNotCleared && answer.notCleared.total > 0
        && [text.empty.notCleared(answer.notCleared.total), { includeNotCleared: true }],
      hasFilters(query) && [text.empty.dropFilters, NO_FILTERS],
      hasUsage(query) && [text.empty.dropUsage, { usage: NOTHING.usage }],
      query.not && [text.empty.dropWithout, { not: "" }],
      query.text.includes('"') && [text.empty.unquote, { text: query.text.replaceAll('"', "") }],
    ].filter(Boolean);
    const nothing = !ways.length && isBrowsing(query);
    if (!ways.length && !nothing) ways.push([text.empty.startOver, NOTHING]);
    return el("div", { class: "notice" }, icon("search"), el("h2", {}, text.empty.title),
      el("p", { class: "muted" }, nothing ? text.empty.library : text.empty.lead),
      el("div", { class: "ways" }, ways.map(([words, part]) => el("button", { type: "button", onclick: () => this.ask(part) }, words))));
  }

  ask(part) {
    emit(this, "loupe-ask", { part, live: false });
  }

  /** Arrow keys walk the grid as it is laid out; from its first row upwards leads back to the search box. */
  onKey(event) {
    const cards = [...this.querySelectorAll(".card-open")];
    const here = cards.indexOf(document.activeElement);
    if (here < 0) return;
    const to = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: cards.length - 1 }[event.key] ?? nextRow(cards, here, event.key);
    if (to === undefined) return;
    event.preventDefault();
    if (to < 0) emit(this, "loupe-to-box");
    else cards[Math.min(to, cards.length - 1)].focus();
  }
}

/** The card above or below, by where it stands on the screen; -1 above the first row. */
function nextRow(cards, here, key) {
  if (key !== "ArrowDown" && key !== "ArrowUp") return undefined;
  const from = cards[here].getBoundingClientRect();
  const step = key === "ArrowDown" ? 1 : -1;
  let best = step > 0 ? here : -1;
  let row = null;
  let nearest = Infinity;
  for (let i = here + step; i >= 0 && i < cards.length; i += step) {
    const at = cards[i].getBoundingClientRect();
    if (Math.abs(at.top - from.top) < 4) continue;
    row ??= at.top;
    if (Math.abs(at.top - row) >= 4) break;
    if (Math.abs(at.left - from.left) < nearest) [best, nearest] = [i, Math.abs(at.left - from.left)];
  }
  return best;
}

customElements.define("loupe-results", Results);
