/** The icons, drawn on a 24-unit grid as strokes in the text's colour. */

const SVG = "http://www.w3.org/2000/svg";

const PATHS = {
  search: "M10.5 4a6.5 6.5 0 1 1 0 13a6.5 6.5 0 1 1 0-13M15.3 15.3L20 20",
  close: "M6 6l12 12M18 6L6 18",
  image: "M4 5h16v14H4zM4 16l4.5-4.5l3.5 3.5l3-3L20 16.5M15.5 9h.01",
  video: "M4 6h11v12H4zM15 10.5l5-3v9l-5-3",
  audio: "M5 10v4M9 6.5v11M13 9v6M17 5v14M21 10.5v3",
  document: "M6 3.5h8l4 4v13H6zM14 3.5v4h4M9 12h6M9 15.5h6",
  without: "M12 4a8 8 0 1 1 0 16a8 8 0 1 1 0-16M8 12h8",
  target: "M12 5a7 7 0 1 1 0 14a7 7 0 1 1 0-14M12 2v4M12 18v4M2 12h4M18 12h4",
  filters: "M4 7h9M17 7h3M4 17h3M11 17h9M15 5v4M9 15v4",
  check: "M5 12.5l4.5 4.5L19 7.5",
  blocked: "M12 4a8 8 0 1 1 0 16a8 8 0 1 1 0-16M6.5 6.5l11 11",
  alert: "M12 4.5l8.5 15h-17zM12 10.5v4M12 17h.01",
  sparkle: "M12 4l1.8 6.2L20 12l-6.2 1.8L12 20l-1.8-6.2L4 12l6.2-1.8z",
  shield: "M12 3.5l7 3v5c0 4.2-3 7.4-7 9c-4-1.6-7-4.8-7-9v-5z",
  similar: "M4 4h10v10H4zM10 18v2h10V10h-2",
  download: "M12 4v11M7 10.5l5 5l5-5M5 20h14",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  left: "M14.5 5.5L8 12l6.5 6.5",
  right: "M9.5 5.5L16 12l-6.5 6.5",
  down: "M6 9.5l6 6l6-6",
  play: "M8 5.5v13l10.5-6.5z",
  sun: "M12 8a4 4 0 1 1 0 8a4 4 0 1 1 0-8M12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4",
  moon: "M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z",
  leave: "M10 4H5v16h5M14 8l4 4l-4 4M18 12H9",
};

/** An icon that says nothing to a screen reader; the control around it carries the words. */
export function icon(name) {
  return drawing("0 0 24 24", "icon", [stroke(PATHS[name])]);
}

/** The name as a drawing: its first vowel is the loupe, with the mark of a grease pencil in it. */
export class Wordmark extends HTMLElement {
  connectedCallback() {
    const letters = stroke("M4 5v30h13M58 16v11.5a8.3 8.3 0 0 0 16.6 0V16M74.6 16v19M85 16v29M85 25.5a9.7 9.7 0 1 1 0 .1"
      + "M109.8 25.5h18.6a9.3 9.3 0 1 0-2.7 6.6");
    const ring = document.createElementNS(SVG, "circle");
    for (const [name, value] of Object.entries({ cx: 37, cy: 23.5, r: 11.5 })) ring.setAttribute(name, value);
    const mark = document.createElementNS(SVG, "circle");
    for (const [name, value] of Object.entries({ cx: 37, cy: 23.5, r: 4, class: "mark" })) mark.setAttribute(name, value);
    this.replaceChildren(drawing("0 0 133 48", "wordmark", [letters, ring, mark]));
  }
}

customElements.define("loupe-wordmark", Wordmark);

function stroke(d) {
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", d);
  return path;
}

function drawing(viewBox, className, parts) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", viewBox);
  svg.setAttribute("class", className);
  svg.setAttribute("aria-hidden", "true");
  svg.append(...parts);
  return svg;
}
