/** Calendar days as ISO strings (`2027-03-01`): arithmetic and words. Days have no time zone, so all is reckoned in UTC. */

import { LOCALE } from "./text.js";

const formatter = (options) => new Intl.DateTimeFormat(LOCALE, { timeZone: "UTC", ...options });
const dayFormat = formatter({ day: "numeric", month: "short", year: "numeric" });
const monthFormat = formatter({ month: "long", year: "numeric" });

const asDate = (day) => new Date(`${day}T00:00:00Z`);
const asDay = (date) => date.toISOString().slice(0, 10);

export const isDay = (value) => /^\d{4}-\d\d-\d\d$/.test(value ?? "") && !Number.isNaN(asDate(value).valueOf());

/** "1 Mar 2027" */
export const dayWords = (day) => dayFormat.format(asDate(day));

/** "March 2027", for a month given by any of its days. */
export const monthWords = (day) => monthFormat.format(asDate(day));

/** The day of a timestamp, in words. */
export const momentWords = (timestamp) => dayWords(timestamp.slice(0, 10));

/** "March 2027" for a whole month, "1 Mar 2027" for a day, else "1–15 Mar 2027". */
export function periodWords(on, until) {
  if (!until || until === on) return dayWords(on);
  const month = monthOf(on);
  if (month.on === on && month.until === until) return monthWords(on);
  return dayFormat.formatRange(asDate(on), asDate(until));
}

/** First and last day of the month that `day` lies in, `later` months on. */
export function monthOf(day, later = 0) {
  const [year, month] = day.split("-").map(Number);
  return { on: asDay(new Date(Date.UTC(year, month - 1 + later, 1))), until: asDay(new Date(Date.UTC(year, month + later, 0))) };
}

/** Today where the person sits. */
export function today() {
  const now = new Date();
  return asDay(new Date(Date.UTC(now.getFullYear(), now.getMonth(), now.getDate())));
}

/** Seconds as "0:42", "12:05" or "1:02:03". */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [Math.floor(whole / 60) % 60, whole % 60].map((part) => String(part).padStart(2, "0"));
  const hours = Math.floor(whole / 3600);
  return hours ? `${hours}:${parts.join(":")}` : `${Number(parts[0])}:${parts[1]}`;
}
