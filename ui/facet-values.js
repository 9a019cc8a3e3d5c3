/** Names for what a facet counts, and the order facets come in. */

import { text } from "./text.js";

/** Facets of which several values may be picked. */
export const LIST_FACETS = ["type", "collection", "keyword", "orientation", "status"];

/** A value in words; collections and keywords are their own. */
export function facetLabel(name, value) {
  if (name === "status") return text.status[value] ?? value;
  return text.facets[name]?.[value] ?? value;
}
