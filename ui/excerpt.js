/** Quotes from a longer text: the stretch around the words that matched, with those words marked. */

import { el } from "./dom.js";

const LEAD = 5; // words kept before the first match, so that it stands in its sentence
const LONGEST_ENDING = 3; // letters: "walk" and "walking"
const WORD = /[\p{L}\p{N}]+/gu;

/** All words by which `hit` was found. */
export function matchedTerms(hit) {
  return [...new Set(hit?.why.flatMap((why) => why.terms ?? []) ?? [])];
}

/** `text` as nodes, each form of one of `terms` in a `<mark>`. */
export function marked(text, terms) {
  return pieces(text, matches(text, terms));
}

/** The same, from shortly before the first match on. */
export function excerpt(text, terms) {
  const found = matches(text, terms);
  if (!found.length) return [text];
  const before = [...text.matchAll(WORD)].filter((word) => word.index < found[0].index);
  const start = before.length > LEAD ? before.at(-LEAD).index : 0;
  const rest = pieces(text.slice(start), found.map((word) => ({ ...word, index: word.index - start })));
  return start ? ["… ", ...rest] : rest;
}

function matches(text, terms) {
  const wanted = terms.map(fold);
  return [...text.matchAll(WORD)].map((word) => ({ index: word.index, length: word[0].length, form: fold(word[0]) }))
    .filter(({ form }) => wanted.some((term) => sameWord(form, term)));
}

function pieces(text, found) {
  const nodes = [];
  let end = 0;
  for (const { index, length } of found) {
    nodes.push(text.slice(end, index), el("mark", {}, text.slice(index, index + length)));
    end = index + length;
  }
  return [...nodes, text.slice(end)];
}

/** Whether one is the other with an ending: near enough to mark a word, since the server did the finding. */
function sameWord(a, b) {
  const [short, long] = a.length < b.length ? [a, b] : [b, a];
  const ending = long.length - short.length;
  return long.startsWith(short) && ending <= Math.min(LONGEST_ENDING, short.length - 2);
}

const fold = (word) => word.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
