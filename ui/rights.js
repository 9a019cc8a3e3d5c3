/** Rights, uses and clearances in plain words. Decides nothing: the server's verdict is only put into sentences. */

import { dayWords, periodWords } from "./dates.js";
import { territoryName, territoryNames } from "./territories.js";
import { LOCALE, text } from "./text.js";

const lists = new Intl.ListFormat(LOCALE, { type: "conjunction" });

/** "Social · Germany · March 2027", or empty for no usage. */
export function usageWords({ channel, territory, on, until }) {
  return [
    channel && (text.usage.channels[channel] ?? channel),
    territory && territoryName(territory),
    on && periodWords(on, until),
  ].filter(Boolean).join(" · ");
}

/** Where it may be used. */
export function territoryWords({ territories, excludedTerritories }) {
  const except = excludedTerritories.length ? territoryNames(excludedTerritories) : "";
  if (!territories.length) return except ? text.rights.worldwideExcept(except) : text.rights.worldwide;
  const only = territoryNames(territories);
  return except ? text.rights.onlyExcept(only, except) : text.rights.only(only);
}

/** Where it may appear. An editorial licence narrows the channels by itself. */
export function channelWords({ channels, licence }) {
  if (channels.length) return lists.format(channels.map((channel) => text.usage.channels[channel] ?? channel));
  return licence === "editorial" ? text.rights.editorialChannels : text.rights.allChannels;
}

/** From when until when it may be used. */
export function validityWords({ validFrom, validUntil }) {
  if (validFrom && validUntil) return text.rights.between(periodWords(validFrom, validUntil));
  if (validUntil) return text.rights.until(dayWords(validUntil));
  return validFrom ? text.rights.from(dayWords(validFrom)) : text.rights.always;
}

/** A few words for a card: "rights have ended, no release". */
export function briefReasons(reasons) {
  return reasons.map((reason) => sayings(reason).brief).join(", ");
}

/** What stands in the way and what to do about it, one entry a reason. */
export function explainReasons(reasons, rights, usageNamed) {
  const facts = {
    validFrom: rights.validFrom && dayWords(rights.validFrom),
    validUntil: rights.validUntil && dayWords(rights.validUntil),
    channels: channelWords(rights),
    territory: territoryWords(rights),
    usageNamed,
  };
  return reasons.map((reason) => ({ what: sayings(reason).what(facts), todo: sayings(reason).todo }));
}

/** "2 expired, 1 no release", most frequent first. */
export function reasonCounts(byReason) {
  return Object.entries(byReason).sort(([, a], [, b]) => b - a)
    .map(([reason, n]) => `${n} ${sayings(reason).count}`).join(", ");
}

function sayings(reason) {
  return text.reasons[reason] ?? text.reasons.other;
}
