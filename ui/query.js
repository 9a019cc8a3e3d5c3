/** What a person asks: one immutable value, its form in the address bar, and its form on the wire. */

import { isDay } from "./dates.js";

const LISTS = ["type", "collection", "keyword", "orientation", "status"];
const USAGE = ["channel", "territory", "on", "until"];
export const PAGE_SIZE = 36;

const EVEN = 0.5; // words and picture count alike

/** Nothing asked: the newest first. `image` is a Blob and lives in this page only. */
export const NOTHING = Object.freeze({
  text: "", not: "", similarTo: null, image: null, textWeight: EVEN, includeNotCleared: false,
  type: [], collection: [], keyword: [], orientation: [], status: [], aiGenerated: null, createdFrom: "", createdTo: "",
  usage: Object.freeze({ channel: "", territory: "", on: "", until: "" }),
});

export const NO_FILTERS = Object.freeze({
  type: [], collection: [], keyword: [], orientation: [], status: [], aiGenerated: null, createdFrom: "", createdTo: "",
});

/** Reads a query from the parameters of an address; what does not make sense is left out. */
export function fromParams(params) {
  const flag = params.get("ai");
  const query = {
    ...NOTHING,
    text: params.get("q") ?? "",
    not: params.get("not") ?? "",
    similarTo: params.get("similarTo"),
    textWeight: weightOf(params),
    includeNotCleared: params.get("notCleared") === "shown",
    aiGenerated: flag === null ? null : flag === "true",
    createdFrom: dayOf(params, "createdFrom"),
    createdTo: dayOf(params, "createdTo"),
    usage: {
      channel: params.get("channel") ?? "", territory: params.get("territory") ?? "",
      on: dayOf(params, "on"), until: dayOf(params, "until"),
    },
  };
  for (const name of LISTS) query[name] = params.getAll(name);
  return query;
}

/** Writes a query as parameters of an address, shortest form. An image has no address and is left out. */
export function toParams(query) {
  const params = new URLSearchParams();
  const put = (name, value) => value && params.append(name, value);
  put("q", query.text);
  put("not", query.not);
  put("similarTo", query.similarTo);
  if (weighs(query)) put("textWeight", String(query.textWeight));
  for (const name of LISTS) query[name].forEach((value) => put(name, value));
  if (query.aiGenerated !== null) put("ai", String(query.aiGenerated));
  put("createdFrom", query.createdFrom);
  put("createdTo", query.createdTo);
  for (const name of USAGE) put(name, query.usage[name]);
  if (query.includeNotCleared) put("notCleared", "shown");
  return params;
}

/** The search request of the HTTP contract; what is not asked is left out. */
export function toRequest(query, cursor = null) {
  const filters = {};
  for (const name of LISTS) if (query[name].length) filters[name] = query[name];
  if (query.aiGenerated !== null) filters.aiGenerated = query.aiGenerated;
  if (query.createdFrom || query.createdTo) filters.created = given({ from: query.createdFrom, to: query.createdTo });
  const usage = given(query.usage);
  const weight = weighs(query) ? { textWeight: query.textWeight } : {}; // 0 says something, and stays
  return { ...weight, ...given({
    text: query.text.trim(), not: query.not.trim(), similarTo: query.similarTo, filters: hasAny(filters) && filters,
    usage: hasAny(usage) && usage, includeNotCleared: query.includeNotCleared, limit: PAGE_SIZE, cursor,
  }) };
}

export const hasUsage = (query) => Object.values(query.usage).some(Boolean);
export const hasFilters = (query) => query.aiGenerated !== null || Boolean(query.createdFrom || query.createdTo)
  || LISTS.some((name) => query[name].length > 0);
export const isBrowsing = (query) => !query.text.trim() && !query.similarTo && !query.image;
export const hasWordsAndPicture = (query) => Boolean(query.text.trim() && (query.similarTo || query.image));

/** Whether both ask the same of the server. */
export function sameQuestion(a, b) {
  return a.image === b.image && toParams(a).toString() === toParams(b).toString();
}

/** The query with `value` added to, or taken from, the list filter `name`. */
export function toggled(query, name, value) {
  const values = query[name];
  return { ...query, [name]: values.includes(value) ? values.filter((other) => other !== value) : [...values, value] };
}

function dayOf(params, name) {
  const value = params.get(name);
  return isDay(value) ? value : "";
}

/** A weight in the address, if it is one. */
function weightOf(params) {
  const value = Number.parseFloat(params.get("textWeight") ?? "");
  return value >= 0 && value <= 1 ? value : EVEN;
}

const weighs = (query) => hasWordsAndPicture(query) && query.textWeight !== EVEN;

const given = (values) => Object.fromEntries(Object.entries(values).filter(([, value]) => value));
const hasAny = (values) => Object.keys(values).length > 0;
