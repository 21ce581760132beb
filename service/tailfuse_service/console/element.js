// Elements and drawings, made without markup: what comes from a bundle or a user can only become text.

/** @typedef {import("./types.d.ts").Props} Props */
/** @typedef {import("./types.d.ts").Child} Child */

const SVG = "http://www.w3.org/2000/svg";
// Addresses that an element may have: of this page, of this service, or of what the user has chosen.
const ADDRESS = /^(?:#|blob:|data:image\/|\.{0,2}\/(?![/\\])|[\w-]+(?:[/?#]|$))/;
const FOCUSABLE = "a[href], button:enabled, input:enabled, select, textarea, summary, [tabindex='0']";
const ADDRESSES = new Set(["href", "src", "action", "formaction"]);

/**
 * Create an HTML element.
 * @param {string} tag @param {Props} [props] @param {...Child} children
 * @returns {HTMLElement}
 */
export function element(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/**
 * Create an element of a drawing.
 * @param {string} tag @param {Props} [props] @param {...Child} children
 * @returns {SVGElement}
 */
export function drawing(tag, props = {}, ...children) {
  return fill(/** @type {SVGElement} */ (document.createElementNS(SVG, tag)), props, children);
}

/**
 * @template {Element} E
 * @param {E} node @param {Props} props @param {Child[]} children
 * @returns {E}
 */
function fill(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") node.addEventListener(name.replace(/^on/, ""), value);
    else if (name === "value") /** @type {HTMLInputElement} */ (/** @type {unknown} */ (node)).value = String(value ?? "");
    else if (value !== false && value != null) setAttribute(node, name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child != null).map(toNode));
  return node;
}

/** @param {Child} child @returns {Node | string} */
function toNode(child) {
  return child instanceof Node ? child : String(child);
}

/** @param {Element} node @param {string} name @param {string} text */
function setAttribute(node, name, text) {
  if (/^(?:on|style$|srcdoc$)/.test(name) || (ADDRESSES.has(name) && !ADDRESS.test(text)))
    throw new TypeError(`no attribute ${name} with this value`);
  node.setAttribute(name, text);
}

/**
 * Return a sentence as children: isolate`${name} alone`. A value is isolated, so that a name in a right-to-left script
 * does not turn the words and numbers around it.
 * @param {TemplateStringsArray} texts @param {...Child} values
 * @returns {Child[]}
 */
export function isolate(texts, ...values) {
  return texts.flatMap((text, at) => (at < values.length ? [text, element("bdi", {}, values[at])] : [text]));
}

/**
 * Replace what is in a box. A focus in it goes to the element of the same kind and name, else to the first that takes
 * one, else to the box: it is never lost.
 * @param {HTMLElement} box @param {...(Node | string)} nodes
 */
export function replaceContent(box, ...nodes) {
  const focused = document.activeElement;
  const hadFocus = focused !== null && focused !== box && box.contains(focused);
  box.replaceChildren(...nodes);
  if (!hadFocus) return;
  /** @type {HTMLElement[]} */
  const takers = [...box.querySelectorAll(FOCUSABLE)].map((each) => /** @type {HTMLElement} */ (each));
  const next = takers.find((each) => identify(each) === identify(focused)) ?? takers[0] ?? box;
  if (next === box) box.tabIndex = -1;
  next.focus();
}

/** @param {Element} node */
function identify(node) {
  return `${node.tagName} ${node.getAttribute("aria-label") ?? node.textContent}`;
}

/**
 * Return a number as a percentage: "87.3 %".
 * @param {number | null | undefined} share
 */
export function formatShare(share) {
  return share == null ? "–" : `${(100 * share).toFixed(1)} %`;
}

/** Return a count as "12,000". @param {number} value */
export function formatCount(value) {
  return value.toLocaleString("en");
}

/**
 * Return what an object has under a name; undefined for one that only every object has, such as "constructor".
 * @template T @param {Record<string, T>} object @param {string} name @returns {T | undefined}
 */
export function lookUp(object, name) {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

let count = 0;

/** Return an id that no element has yet, for labels and what they describe. */
export function makeId() {
  count += 1;
  return `id-${count}`;
}
