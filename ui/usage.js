/** `<loupe-usage>`: the use a person has in mind (channel, country, time). Sends `loupe-ask` with the changed usage. */

import { isDay, monthOf, monthWords, today } from "./dates.js";
import { el, emit, fill } from "./dom.js";
import { icon } from "./icons.js";
import { hasUsage, NOTHING } from "./query.js";
import { usageWords } from "./rights.js";
import { territories, territoryCode, territoryName } from "./territories.js";
import { text } from "./text.js";

const MONTHS = 12;

export class UsagePicker extends HTMLElement {
  #usage = NOTHING.usage;
  #when = ""; // "", "day", "period" or the first day of a month

  connectedCallback() {
    this.button = el("button", {
      type: "button", class: "use-button", "aria-expanded": "false", "aria-controls": "use-panel",
      onclick: () => this.toggle(this.panel.hidden),
    });
    this.panel = el("div", { id: "use-panel", class: "panel", role: "group", "aria-label": text.usage.title, hidden: true });
    fill(this, this.button, this.panel);
    this.addEventListener("focusout", (event) => {
      if (event.relatedTarget && !this.contains(event.relatedTarget)) this.toggle(false);
    });
    document.addEventListener("pointerdown", (event) => {
      if (!this.panel.hidden && !this.contains(event.target)) this.toggle(false);
    });
    this.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || this.panel.hidden) return;
      event.stopPropagation();
      this.toggle(false);
      this.button.focus();
    });
  }

  show(query) {
    const words = usageWords(query.usage);
    this.classList.toggle("named", hasUsage(query));
    this.button.setAttribute("aria-label", words ? text.usage.edit(words) : text.usage.ask);
    fill(this.button, icon("target"), el("span", {}, words || text.usage.ask), icon("down"));
    this.#usage = query.usage;
    if (this.panel.hidden) this.#when = whenOf(query.usage);
  }

  toggle(open) {
    if (open === !this.panel.hidden) return;
    this.panel.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
    if (!open) return;
    this.render();
    this.panel.querySelector("input:checked, input")?.focus();
  }

  render() {
    fill(this.panel,
      el("p", { class: "muted" }, text.usage.lead),
      this.channels(), this.territory(), this.when(),
      el("div", { class: "panel-end" },
        el("button", { type: "button", class: "quiet", onclick: () => this.clear() }, text.usage.clear),
        el("button", { type: "button", class: "primary", onclick: () => this.finish() }, text.usage.done)));
  }

  channels() {
    const choices = [["", text.usage.anyChannel], ...Object.entries(text.usage.channels)];
    return el("fieldset", {}, el("legend", {}, text.usage.channel), el("div", { class: "choices" },
      choices.map(([channel, label]) => el("label", { class: "choice" },
        el("input", {
          type: "radio", name: "channel", value: channel, checked: this.#usage.channel === channel,
          onchange: () => this.change({ channel }),
        }), el("span", {}, label)))));
  }

  territory() {
    const complaint = el("span", { class: "complaint", role: "alert" });
    const field = el("input", {
      id: "use-territory", type: "text", list: "territories", autocomplete: "off", placeholder: text.usage.territoryHint,
      value: this.#usage.territory && territoryName(this.#usage.territory),
      onchange: () => {
        const code = field.value.trim() ? territoryCode(field.value) : "";
        complaint.textContent = code === null ? text.usage.territoryUnknown : "";
        if (code !== null) this.change({ territory: code });
      },
    });
    return el("div", { class: "field" }, el("label", { for: "use-territory" }, text.usage.territory), field, complaint,
      el("datalist", { id: "territories" }, territories.map(({ name }) => el("option", { value: name }))));
  }

  when() {
    const months = Array.from({ length: MONTHS }, (_, later) => monthOf(today(), later).on);
    if (isDay(this.#when) && !months.includes(this.#when)) months.push(this.#when);
    const label = (day, later) => [text.usage.thisMonth, text.usage.nextMonth][later]?.(monthWords(day)) ?? monthWords(day);
    const option = (value, words) => el("option", { value, selected: value === this.#when }, words);
    const select = el("select", { id: "use-when", onchange: () => this.pickWhen(select.value) },
      option("", text.usage.whenOpen),
      el("optgroup", { label: text.usage.months }, months.map((day, later) => option(day, label(day, later)))),
      el("optgroup", { label: text.usage.days }, option("day", text.usage.whenDay), option("period", text.usage.whenPeriod)));
    return el("div", { class: "field" }, el("label", { for: "use-when" }, text.usage.when), select, this.days());
  }

  days() {
    if (this.#when !== "day" && this.#when !== "period") return null;
    const complaint = el("span", { class: "complaint", role: "alert" });
    const period = this.#when === "period";
    const day = (name, label) => el("label", { class: "day" }, el("span", {}, label),
      el("input", { type: "date", name, value: this.#usage[name], required: true, onchange: () => changed() }));
    const fields = el("div", { class: "days" }, day("on", period ? text.usage.from : text.usage.day),
      period && day("until", text.usage.until), complaint);
    const changed = () => {
      const [on, until = ""] = [...fields.querySelectorAll("input")].map((input) => input.value);
      complaint.textContent = until && on > until ? text.usage.orderWrong : "";
      if (isDay(on) && !(period && until && on > until)) this.change({ on, until });
    };
    return fields;
  }

  pickWhen(when) {
    this.#when = when;
    const { on = "", until = "" } = isDay(when) ? monthOf(when) : when === "" ? {} : { on: this.#usage.on || today() };
    this.change({ on, until });
    this.render();
    this.panel.querySelector("#use-when").focus();
  }

  change(part) {
    this.#usage = { ...this.#usage, ...part };
    emit(this, "loupe-ask", { part: { usage: this.#usage }, live: false });
  }

  clear() {
    this.#when = "";
    this.change(NOTHING.usage);
    this.finish();
  }

  finish() {
    this.toggle(false);
    this.button.focus();
  }
}

function whenOf({ on, until }) {
  if (!on) return "";
  const month = monthOf(on);
  if (month.on === on && month.until === until) return on;
  return until && until !== on ? "period" : "day";
}

customElements.define("loupe-usage", UsagePicker);
