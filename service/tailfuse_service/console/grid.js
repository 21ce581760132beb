// A table that sorts, of which only the visible rows exist: 100,000 rows cost as much as twenty.

import { element } from "./element.js";

const ROW_PX = 40;
const SPARE_ROWS = 5; // above and below, so that a short scroll shows no gap

/**
 * @typedef {import("./types.d.ts").Child} Child
 * @typedef {{ key: string, title: string, numeric?: boolean, sorts?: boolean }} GridColumn
 * @typedef {{ key: string, descending: boolean }} Sort
 * @typedef {{
 *   node: HTMLElement,
 *   sort: Sort,
 *   show: (count: number, makeCells: (at: number) => Child[]) => void,
 * }} Grid
 */

/**
 * Create a table. `onSort` is called when another order is chosen; the caller then shows the rows again.
 * @param {string} title @param {GridColumn[]} columns @param {Sort} sort @param {() => void} onSort
 * @returns {Grid}
 */
export function makeGrid(title, columns, sort, onSort) {
  const headers = columns.map((column) => makeHeader(column, (key) => {
    grid.sort = { key, descending: grid.sort.key === key && !grid.sort.descending };
    markSorted(headers, columns, grid.sort);
    onSort();
  }));
  const body = element("tbody");
  const table = element("table", { class: "grid" }, element("caption", { class: "unseen" }, title),
    element("thead", {}, element("tr", {}, ...headers)), body);
  const node = element("div", { class: "grid-window", role: "region", "aria-label": title, tabindex: 0 }, table);
  const rows = { count: 0, makeCells: (/** @type {number} */ _at) => /** @type {Child[]} */ ([]) };
  const draw = () => drawVisible(node, body, columns, rows.count, rows.makeCells);
  node.addEventListener("scroll", draw, { passive: true });
  /** @type {Grid} */
  const grid = {
    node,
    sort,
    show(count, makeCells) {
      Object.assign(rows, { count, makeCells });
      table.setAttribute("aria-rowcount", String(count + 1));
      draw();
    },
  };
  markSorted(headers, columns, sort);
  return grid;
}

/**
 * Compare two values of a column; a missing one is last in both directions.
 * @param {string | number | null} a @param {string | number | null} b @param {boolean} descending
 */
export function compareValues(a, b, descending) {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  if (a === b) return 0;
  return (a < b ? -1 : 1) * (descending ? -1 : 1);
}

/** @param {GridColumn} column @param {(key: string) => void} choose */
function makeHeader({ key, title, numeric, sorts = true }, choose) {
  const label = sorts ? element("button", { type: "button", onclick: () => choose(key) }, title) : title;
  return element("th", { scope: "col", class: numeric ? "number" : null }, label);
}

/** @param {HTMLElement[]} headers @param {GridColumn[]} columns @param {Sort} sort */
function markSorted(headers, columns, sort) {
  headers.forEach((header, at) => {
    const isSorted = columns[at]?.key === sort.key;
    if (isSorted) header.setAttribute("aria-sort", sort.descending ? "descending" : "ascending");
    else header.removeAttribute("aria-sort");
  });
}

/**
 * Replace the rows by those that are visible, between two empty rows as high as all others.
 * @param {HTMLElement} node @param {HTMLElement} body @param {GridColumn[]} columns
 * @param {number} count @param {(at: number) => Child[]} makeCells
 */
function drawVisible(node, body, columns, count, makeCells) {
  const first = Math.max(0, Math.floor(node.scrollTop / ROW_PX) - SPARE_ROWS);
  const n = Math.ceil(window.innerHeight / ROW_PX) + 2 * SPARE_ROWS; // the table is never higher than the window
  const start = Math.min(first, Math.max(0, count - n));
  const end = Math.min(count, start + n);
  const lines = Array.from({ length: end - start }, (_, step) => {
    const cells = makeCells(start + step).map((cell, at) =>
      element("td", { class: columns[at]?.numeric ? "number" : null }, cell));
    return element("tr", { "aria-rowindex": start + step + 2 }, ...cells);
  });
  body.replaceChildren(makeSpacer(start), ...lines, makeSpacer(count - end));
}

/** @param {number} rows */
function makeSpacer(rows) {
  const spacer = element("tr", { "aria-hidden": "true", class: "spacer" });
  spacer.style.height = `${rows * ROW_PX}px`;
  return spacer;
}
