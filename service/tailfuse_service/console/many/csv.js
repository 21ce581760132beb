// CSV: parse it strictly, and write it so that no spreadsheet runs a cell as a formula.

const SEPARATORS = [",", ";", "\t"];
const FORMULA = /^[=+\-@\t\r]/;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** A file that cannot be read as a table. */
export class TableError extends Error {}

/**
 * Yield the rows of a CSV text (RFC 4180), each with the line on which it begins. Cells lose spaces around them.
 * @param {string} text
 * @param {string} [separator]
 * @returns {Generator<{line: number, cells: string[]}>}
 */
export function* parseCsv(text, separator = ",") {
  let at = 0;
  let line = 1;
  while (at < text.length) {
    const start = line;
    /** @type {string[]} */
    const cells = [];
    for (;;) {
      const cell = text[at] === '"' ? readQuoted(text, at, separator, line) : readPlain(text, at, separator);
      cells.push(cell.value);
      at = cell.end;
      line += cell.lines;
      if (text[at] !== separator) break;
      at += 1;
    }
    if (text[at] === "\r" && text[at + 1] === "\n") at += 1;
    at += 1;
    line += 1;
    if (cells.length > 1 || cells[0] !== "") yield { line: start, cells };
  }
}

/**
 * @param {string} text
 * @param {number} at
 * @param {string} separator
 */
function readPlain(text, at, separator) {
  let end = at;
  while (end < text.length && text[end] !== separator && text[end] !== "\n" && text[end] !== "\r") end += 1;
  return { value: text.slice(at, end).trim(), end, lines: 0 };
}

/**
 * @param {string} text
 * @param {number} at
 * @param {string} separator
 * @param {number} line
 */
function readQuoted(text, at, separator, line) {
  let close = at + 1;
  for (;;) {
    close = text.indexOf('"', close);
    if (close < 0) throw new TableError(`line ${line}: a quoted cell has no closing quote`);
    if (text[close + 1] !== '"') break;
    close += 2;
  }
  const value = text.slice(at + 1, close);
  const next = text[close + 1];
  if (next !== undefined && next !== separator && next !== "\n" && next !== "\r") {
    throw new TableError(`line ${line}: '${next}' follows a closing quote; expected '${separator}' or a line's end`);
  }
  const lines = value.split("\n").length - 1;
  return { value: value.replaceAll('""', '"').trim(), end: close + 1, lines };
}

/**
 * Return the separator whose header has most of the wanted columns; the comma where none has any.
 * @param {string} text
 * @param {ReadonlySet<string>} wanted
 */
export function findSeparator(text, wanted) {
  let best = ",";
  let most = 0;
  for (const separator of SEPARATORS) {
    const header = readHeader(text, separator);
    const n = header.filter((name) => wanted.has(name)).length;
    if (n > most) [best, most] = [separator, n];
  }
  return best;
}

/**
 * @param {string} text
 * @param {string} separator
 */
function readHeader(text, separator) {
  try {
    const first = parseCsv(text, separator).next();
    return first.done ? [] : first.value.cells;
  } catch {
    return []; // another separator may fit
  }
}

/**
 * Return one line of CSV, with its line end.
 * @param {readonly (string | number | null | undefined)[]} cells
 */
export function formatCsvLine(cells) {
  return `${cells.map(formatCell).join(",")}\r\n`;
}

/**
 * Return a cell. A text that a spreadsheet would run gets an apostrophe; "-1" is a number and stays.
 * @param {string | number | null | undefined} cell
 */
export function formatCell(cell) {
  if (cell === null || cell === undefined) return "";
  if (typeof cell === "number") return String(cell);
  const safe = FORMULA.test(cell) && !NUMBER.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
