/** Builds DOM nodes. Strings only ever become text nodes or plain attributes, so metadata cannot execute. */

/**
 * Makes an element.
 * @param {string} tag
 * @param {Object} props attributes; a function under `onclick`, `oninput`, … is added as a listener;
 *   `class`, `aria-*` and the rest are set as attributes; null, undefined and false leave the attribute out
 * @param {...(Node|string|number|null|undefined|false|Array)} children
 * @returns {HTMLElement}
 */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) listen(node, name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...present(children));
  return node;
}

/** Replaces all children of `node`. */
export function fill(node, ...children) {
  node.replaceChildren(...present(children));
}

/** Gives `url` back if it is safe to put in a link (http or https), else null: `javascript:` and the like never link. */
export function linkable(url) {
  if (!url) return null;
  try {
    const { protocol, href } = new URL(url);
    return protocol === "https:" || protocol === "http:" ? href : null;
  } catch {
    return null; // not an absolute URL: shown as text, not linked
  }
}

/** A link that leaves Loupe, or plain text where the URL is not one to follow. */
export function outside(url, label) {
  const href = linkable(url);
  return href ? el("a", { href, target: "_blank", rel: "noopener noreferrer" }, label) : label;
}

/** Sends an event of the page's own up the tree. */
export function emit(node, name, detail = null) {
  node.dispatchEvent(new CustomEvent(name, { detail, bubbles: true }));
}

/** Whether a key pressed at `target` is meant as text. */
export function isTyping(target) {
  return target instanceof HTMLElement && target.matches("input:not([type=checkbox], [type=radio]), textarea, select");
}

function listen(node, event, handler) {
  if (typeof handler !== "function") throw new TypeError(`listener for ${event} must be a function`);
  node.addEventListener(event, handler);
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}
