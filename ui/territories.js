/** Countries and territories (ISO 3166-1 alpha-2), with their names in the page's language. */

import { LOCALE } from "./text.js";

const CODES = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY "
  + "BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR "
  + "GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP "
  + "KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT "
  + "MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW "
  + "SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG "
  + "UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW";

const names = new Intl.DisplayNames(LOCALE, { type: "region" });
const lists = new Intl.ListFormat(LOCALE, { type: "conjunction" });

/** The name of a territory; a code nobody knows is its own name. */
export function territoryName(code) {
  try {
    return names.of(code);
  } catch {
    return code; // not even shaped like a code
  }
}

/** "Germany, Austria and Switzerland" */
export const territoryNames = (codes) => lists.format(codes.map(territoryName));

/** All territories in the order of their names: `[{code, name}]`. */
export const territories = CODES.split(" ").map((code) => ({ code, name: territoryName(code) }))
  .sort((a, b) => a.name.localeCompare(b.name, LOCALE));

/** The code for what a person typed (a name or a code), or null. */
export function territoryCode(typed) {
  const wanted = typed.trim().toLocaleLowerCase(LOCALE);
  const found = territories.find(({ code, name }) => code.toLowerCase() === wanted || name.toLocaleLowerCase(LOCALE) === wanted);
  return found?.code ?? null;
}
