// The field of columns: an input for each, of its type, with its unit and the range of most rows.

import { element, makeId } from "../element.js";

/** @typedef {import("../types.d.ts").TabularModality} TabularModality */
/** @typedef {import("../types.d.ts").Column} Column */
/** @typedef {import("../types.d.ts").NumberColumn} NumberColumn */
/** @typedef {import("../types.d.ts").Reference} Reference */

const MAX_LISTED = 1000; // categories offered; others can be typed
const FIND_FROM = 13; // columns, from which on there is a search

/**
 * @param {string} name @param {TabularModality} modality @param {Reference | undefined} reference
 * @param {(value: unknown) => void} give
 * @returns {import("./field.js").Control}
 */
export function makeTabularField(name, modality, reference, give) {
  const cells = modality.columns.map((column) => makeCell(column, reference, giveAll));

  function giveAll() {
    const given = cells.map((cell) => [cell.name, cell.read()]).filter(([, value]) => value !== undefined);
    give(given.length ? Object.fromEntries(given) : undefined);
  }

  const search = element("input", { type: "search", "aria-label": `Find a column of ${name}`, placeholder: "Find a column", oninput: find });

  function find() {
    const wanted = /** @type {HTMLInputElement} */ (search).value.toLowerCase();
    for (const cell of cells) cell.node.hidden = !cell.name.toLowerCase().includes(wanted);
  }

  const grid = element("div", { class: "cells" }, ...cells.map((cell) => cell.node));
  return {
    node: element("div", {}, cells.length >= FIND_FROM ? search : null,
      cells.length >= FIND_FROM ? element("div", { class: "scroll" }, grid) : grid),
    show(value) {
      // A row is an object by column, or an array in the order of the columns.
      const row = new Map(Array.isArray(value) ? value.map((each, at) => [cells[at]?.name, each]) : Object.entries(value ?? {}));
      for (const cell of cells) cell.show(row.get(cell.name));
    },
    mark(column, text) {
      for (const cell of cells) cell.mark(cell.name === column ? text : "");
      return cells.some((cell) => cell.name === column);
    },
  };
}

/**
 * Make the input of a column.
 * @param {Column} column @param {Reference | undefined} reference @param {() => void} changed
 */
function makeCell(column, reference, changed) {
  const id = makeId(), hintId = makeId();
  const { input, list } = makeInput(column, id, hintId, changed);
  const problem = element("span", { class: "problem" });
  const hint = element("span", { class: "hint" }, describeColumn(column, reference));
  const described = element("span", { id: hintId }, hint, problem);
  return {
    name: column.name,
    node: element("div", {}, element("label", { for: id }, column.name), input, list, described),
    read: () => readCell(column, input.value.trim()),
    /** @param {unknown} value */
    show: (value) => void (input.value = value == null ? "" : String(value)),
    /** @param {string} text */
    mark(text) {
      problem.textContent = text && ` ${text}`;
      if (text) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    },
  };
}

/**
 * @param {Column} column @param {string} id @param {string} hintId @param {() => void} changed
 * @returns {{ input: HTMLInputElement | HTMLSelectElement, list: HTMLElement | null }}
 */
function makeInput(column, id, hintId, changed) {
  const props = { id, "aria-describedby": hintId, oninput: changed };
  if (column.type === "boolean") {
    const choices = [["", "missing"], ["true", "true"], ["false", "false"]];
    const options = choices.map(([value, text]) => element("option", { value }, text));
    return { input: /** @type {HTMLSelectElement} */ (element("select", props, ...options)), list: null };
  }
  const isNumber = column.type === "number";
  const listId = isNumber ? undefined : `${id}-list`;
  const input = element("input", {
    ...props, type: "text", inputmode: isNumber ? "decimal" : "text", list: listId, autocomplete: "off",
    placeholder: "missing",
  });
  if (column.type !== "category") return { input: /** @type {HTMLInputElement} */ (input), list: null };
  const options = column.categories.slice(0, MAX_LISTED).map((value) => element("option", { value }));
  return { input: /** @type {HTMLInputElement} */ (input), list: element("datalist", { id: listId }, ...options) };
}

/**
 * Return the value of a cell as JSON has it, undefined for none. What may be read in two ways stays text: the
 * service reads it in the format of the column, and says what is wrong with it.
 * @param {Column} column @param {string} text
 */
export function readCell(column, text) {
  if (text === "") return undefined;
  if (column.type === "boolean") return text === "true";
  if (column.type === "category") return text;
  const { decimal, thousands } = column.format;
  const isPlain = decimal === "." && thousands === "" && /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text);
  return isPlain && Number.isFinite(Number(text)) ? Number(text) : text;
}

/**
 * Return what is known of a column: its unit, and between which values most rows are.
 * @param {Column} column @param {Reference | undefined} reference
 */
function describeColumn(column, reference) {
  if (column.type === "category") {
    const more = column.categories.length > MAX_LISTED ? `, ${MAX_LISTED} of them listed` : "";
    return `${column.categories.length} categories${more}`;
  }
  if (column.type === "boolean") return "";
  const unit = column.format.unit ? ` ${column.format.unit}` : "";
  const edges = reference?.inputs.find((input) => input.name === column.name)?.edges ?? [];
  const [low, high] = [edges[0], edges[edges.length - 1]];
  if (low === undefined || high === undefined || low === high) return unit.trim();
  return `mostly ${formatNumber(restore(column, low))} to ${formatNumber(restore(column, high))}${unit}`;
}

/**
 * Return the value that the service has standardised to this one.
 * @param {NumberColumn} column @param {number} standardised
 */
export function restore(column, standardised) {
  const value = standardised * column.scale + column.mean;
  return column.log_unit == null ? value : column.log_unit * Math.sinh(value);
}

/** @param {number} value */
export function formatNumber(value) {
  return String(Number(value.toPrecision(3)));
}
