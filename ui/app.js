/** The page: who is looking, what is asked and what is open, and which part shows it. */

import * as api from "./api.js";
import "./balance.js";
import "./detail.js";
import { isTyping } from "./dom.js";
import "./facets.js";
import "./filter-chips.js";
import "./person.js";
import { Place } from "./place.js";
import { prepare } from "./query-image.js";
import "./results.js";
import "./search-box.js";
import { Searcher } from "./searcher.js";
import "./sign-in.js";
import { text } from "./text.js";
import "./usage.js";

const find = (selector) => document.querySelector(selector);
const parts = {
  signIn: find("loupe-sign-in"), page: find("#page"), box: find("loupe-search-box"), person: find("loupe-person"),
  usage: find("loupe-usage"), balance: find("loupe-balance"), chips: find("loupe-filter-chips"), facets: find("loupe-facets"),
  results: find("loupe-results"), detail: find("loupe-detail"), announcer: find("#announcer"),
};
const place = new Place();
const searcher = new Searcher();
let session = null;
let asked = null; // the query that the results answer
let opened = null; // the asset open before, to return to its card

async function enter(found) {
  session = found;
  const people = session.signIn === "demo" ? await api.people() : [];
  if (!session.signedIn) {
    leave(people);
    return;
  }
  parts.person.show(session, people);
  parts.signIn.hidden = true;
  parts.page.hidden = false;
  searcher.forget();
  asked = null;
  render();
  if (matchMedia("(pointer: fine)").matches) parts.box.focusInput(); // on a phone it would call up the keyboard
}

function leave(people) {
  searcher.forget();
  parts.detail.show(null);
  parts.page.hidden = true;
  parts.signIn.show(session.signIn, people);
}

function render() {
  const { query } = place;
  parts.box.show(query);
  parts.usage.show(query);
  parts.balance.show(query);
  if (asked !== query) {
    asked = query;
    searcher.run(query);
  }
  parts.detail.show(place.asset, query, searcher.answer?.hits ?? []);
  if (opened && !place.asset) parts.results.focusCard(opened);
  opened = place.asset?.id ?? null;
  document.title = text.pageTitle(query.text.trim());
}

async function start() {
  try {
    await enter(await api.session());
  } catch (error) {
    if (!(error instanceof api.Problem)) throw error;
    parts.page.hidden = false;
    parts.results.problem(error, start);
  }
}

place.addEventListener("change", () => session?.signedIn && render());

searcher.addEventListener("start", () => parts.results.loading(place.query));
searcher.addEventListener("answer", () => {
  const { answer } = searcher;
  parts.results.show(place.query, answer);
  parts.facets.show(place.query, answer);
  parts.chips.show(place.query, answer);
  parts.announcer.textContent = text.results.announce(answer.total, answer.hits[0]?.weak);
  parts.detail.show(place.asset, place.query, answer.hits);
});
searcher.addEventListener("more", (event) => parts.results.extend(place.query, event.detail, searcher.answer));
searcher.addEventListener("error", async (event) => {
  if (event.detail.status === 401) await start();
  else parts.results.problem(event.detail, () => searcher.run(place.query));
});

document.addEventListener("loupe-ask", (event) => place.ask(event.detail.part, { live: event.detail.live }));
document.addEventListener("loupe-more", () => searcher.more());
document.addEventListener("loupe-open", (event) => place.open(event.detail.id, event.detail));
document.addEventListener("loupe-close", () => place.close());
document.addEventListener("loupe-similar", (event) => {
  place.ask({ text: "", not: "", image: null, similarTo: event.detail }, { closing: true });
});
document.addEventListener("loupe-image", async (event) => {
  if (!session?.signedIn) return;
  if (!event.detail.type.startsWith("image/")) {
    parts.results.problem(new api.Problem({ detail: text.search.notAnImage }), () => searcher.run(place.query), text.error.back);
    return;
  }
  place.ask({ image: await prepare(event.detail), similarTo: null, text: "" }, { closing: true });
});
document.addEventListener("loupe-to-results", () => parts.results.focusFirst());
document.addEventListener("loupe-to-box", () => parts.box.focusInput());
document.addEventListener("loupe-toggle-facets", () => parts.facets.toggle());
document.addEventListener("loupe-signed-in", (event) => enter(event.detail));
document.addEventListener("loupe-signed-out", start);
document.addEventListener("loupe-problem", (event) => parts.results.problem(event.detail, start));
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || isTyping(event.target) || event.ctrlKey || event.metaKey || place.asset) return;
  event.preventDefault();
  parts.box.focusInput();
});
find("a.home").addEventListener("click", (event) => {
  event.preventDefault();
  place.startOver();
});
find("a.home").setAttribute("aria-label", text.home);
find("a.skip").textContent = text.skip;
find("a.skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address is for the question
  parts.results.focusFirst();
});

start();
