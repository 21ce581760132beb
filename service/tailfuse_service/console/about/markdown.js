// Render a model card: the Markdown that tailfuse writes, as elements whose text is text. Other Markdown is shown as it is.

import { element } from "../element.js";

const INLINE = /\\([\\`*[\]<>|#$~])|\*\*((?:\\.|[^*\\])+)\*\*|`([^`]+)`/g;
const FENCE = "```";

/**
 * Return the elements of a text. `minLevel` is the level of its largest heading on this page.
 * @param {string} text @param {number} minLevel
 */
export function renderMarkdown(text, minLevel) {
  const lines = text.split(/\r?\n/);
  /** @type {HTMLElement[]} */
  const blocks = [];
  for (let at = 0; at < lines.length; ) {
    const start = at;
    const line = lines[at] ?? "";
    const heading = /^(#{1,6}) (.*)$/.exec(line);
    if (line.trim() === "") at += 1;
    else if (heading) {
      const level = Math.min(6, (heading[1] ?? "").length + minLevel - 1);
      blocks.push(element(`h${level}`, {}, ...renderInline(heading[2] ?? "")));
      at += 1;
    } else if (line.startsWith(FENCE)) {
      at = skipWhile(lines, at + 1, (each) => !each.startsWith(FENCE));
      blocks.push(element("pre", { tabindex: 0 }, element("code", {}, lines.slice(start + 1, at).join("\n"))));
      at += 1;
    } else if (isTable(lines, at)) {
      at = skipWhile(lines, at, (each) => each.startsWith("|"));
      blocks.push(renderTable(lines.slice(start, at)));
    } else if (line.startsWith("- ")) {
      at = skipWhile(lines, at, (each) => each.startsWith("- "));
      blocks.push(element("ul", {}, ...lines.slice(start, at).map((each) => element("li", {}, ...renderInline(each.slice(2))))));
    } else {
      at = skipWhile(lines, at + 1, (each) => each.trim() !== "" && !/^(#{1,6} |- |\||```)/.test(each));
      blocks.push(element("p", {}, ...renderInline(lines.slice(start, at).join(" "))));
    }
  }
  return blocks;
}

/** @param {string[]} lines @param {number} at @param {(line: string) => boolean} fits */
function skipWhile(lines, at, fits) {
  let end = at;
  while (end < lines.length && fits(lines[end] ?? "")) end += 1;
  return end;
}

/** @param {string[]} lines @param {number} at */
function isTable(lines, at) {
  return (lines[at] ?? "").startsWith("|") && /^\|(?: *:?-+:? *\|)+ *$/.test(lines[at + 1] ?? "");
}

/** @param {string[]} lines */
function renderTable(lines) {
  const isNumber = splitCells(lines[1] ?? "").map((cell) => cell.endsWith(":"));
  const makeCell = (/** @type {string} */ text, /** @type {number} */ at, /** @type {boolean} */ isHead) =>
    element(isHead ? "th" : "td", { class: isNumber[at] ? "number" : null, scope: isHead ? "col" : null }, ...renderInline(text));
  const [head = "", , ...body] = lines;
  const makeRow = (/** @type {string} */ line, isHead = false) =>
    element("tr", {}, ...splitCells(line).map((cell, at) => makeCell(cell, at, isHead)));
  return element("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": splitCells(head).join(", ") },
    element("table", {}, element("thead", {}, makeRow(head, true)), element("tbody", {}, ...body.map((line) => makeRow(line)))));
}

/** Split a row at its bars; "\|" is none. @param {string} line */
export function splitCells(line) {
  const cells = line.trim().replace(/^\|/, "").match(/(?:\\.|[^\\|])*(?:\||$)/g) ?? [];
  return cells.filter((cell) => cell.endsWith("|")).map((cell) => cell.slice(0, -1).trim());
}

/** @param {string} text @returns {(string | HTMLElement)[]} */
function renderInline(text) {
  /** @type {(string | HTMLElement)[]} */
  const parts = [];
  let end = 0;
  for (const found of text.matchAll(INLINE)) {
    parts.push(text.slice(end, found.index));
    const [whole, escaped, strong, code] = found;
    if (escaped !== undefined) parts.push(escaped);
    else if (strong !== undefined) parts.push(element("strong", {}, ...renderInline(strong)));
    else parts.push(element("code", {}, code));
    end = found.index + whole.length;
  }
  return [...parts, text.slice(end)];
}
