// Convert a row of a table to the inputs of a sample, as the Python client's `inputs_of_row` does.

import { encodeBase64 } from "../images.js";

/**
 * @typedef {string | { name: string, categories?: string[] }} Column
 * @typedef {{ kind: string, column?: string, columns?: Column[], missing?: string[] | null }} Modality what a table's reader needs
 * @typedef {Record<string, Modality>} Modalities
 * @typedef {(path: string) => Promise<Blob | undefined>} FindFile
 * @typedef {(blob: Blob, modality: string) => Promise<Blob>} PrepareFile
 */

// Missing texts where the model has no list of its own.
const MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL"];

/** A row that cannot be sent; the others can. */
export class RowError extends Error {}

/**
 * Return the columns that a modality reads from a table.
 * @param {Modality} modality
 * @returns {string[]}
 */
export function listColumns(modality) {
  const columns = modality.columns ?? [modality.column ?? ""];
  return columns.map((each) => (typeof each === "string" ? each : each.name));
}

/**
 * Return the texts that count as missing values.
 * @param {Modalities} modalities
 */
export function findMissing(modalities) {
  const listed = Object.values(modalities).find((each) => each.missing)?.missing;
  return new Set(listed ? ["", ...listed] : MISSING);
}

/**
 * Return what a table lacks, as sentences. Throw if it has no column of the model.
 * @param {readonly string[]} present
 * @param {Modalities} modalities
 */
export function checkColumns(present, modalities) {
  const every = Object.values(modalities).flatMap(listColumns);
  if (!every.some((name) => present.includes(name))) {
    throw new RowError(
      `the table has no column of this model; expected ${shorten(every)}, got ${shorten(present)}`,
    );
  }
  return Object.entries(modalities).flatMap(([name, modality]) => {
    const columns = listColumns(modality);
    const lacking = columns.filter((each) => !present.includes(each));
    if (!lacking.length) return [];
    const effect = lacking.length === columns.length ? "it is absent in every row" : "its cells count as missing";
    return [`modality '${name}': the table has no column ${shorten(lacking)}; ${effect}`];
  });
}

/** @param {readonly string[]} names */
function shorten(names) {
  const shown = names.slice(0, 5).map((name) => `'${name}'`).join(", ");
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown;
}

/**
 * Return a function that makes the inputs of a row. It throws RowError. `prepareFile` returns what is sent for a file.
 * @param {Modalities} modalities @param {FindFile} findFile @param {PrepareFile} [prepareFile]
 */
export function prepareRows(modalities, findFile, prepareFile = async (blob) => blob) {
  const missing = findMissing(modalities);
  return async (/** @type {Record<string, unknown>} */ row) => {
    /** @type {Record<string, unknown>} */
    const inputs = Object.create(null); // any name is a plain key
    for (const [name, modality] of Object.entries(modalities)) {
      const columns = listColumns(modality);
      /** @type {Record<string, unknown>} */
      const values = Object.create(null);
      for (const [at, column] of columns.entries()) {
        const spec = modality.columns?.[at];
        const known = (typeof spec === "object" ? spec.categories : null) ?? [];
        const value = convertCell(dropMissing(row[column], missing, known), modality.kind, column);
        const file = typeof value === "string" && isFile(modality.kind) ? await readFile(value, column, findFile) : value;
        values[column] = file instanceof Blob ? await encodeBase64(await prepareFile(file, name)) : file;
      }
      if (Object.values(values).every((value) => value === null)) continue;
      const byColumn = columns.length > 1 || modality.kind === "tabular";
      inputs[name] = byColumn ? values : values[String(columns[0])];
    }
    if (!Object.keys(inputs).length) throw new RowError("no modality is present in this row");
    return inputs;
  };
}

/**
 * @param {unknown} cell
 * @param {ReadonlySet<string>} missing
 * @param {readonly string[]} known
 */
function dropMissing(cell, missing, known) {
  if (cell === undefined || cell === null || Number.isNaN(cell)) return null;
  if (typeof cell !== "string") return cell;
  const trimmed = cell.trim();
  return missing.has(trimmed) && !known.includes(trimmed) ? null : cell;
}

/** @param {string} kind */
function isFile(kind) {
  return kind === "image" || kind === "series";
}

/**
 * Return a cell as JSON, a list, or the bytes of a file. A path of a file stays as it is.
 * @param {unknown} cell @param {string} kind @param {string} column
 */
function convertCell(cell, kind, column) {
  const value = convertTyped(cell, column);
  if (value === null) return null;
  if (value instanceof Uint8Array) {
    return isFile(kind) ? new Blob([/** @type {Uint8Array<ArrayBuffer>} */ (value)]) : new TextDecoder().decode(value);
  }
  if (kind === "text") return String(value);
  return isFile(kind) && typeof value === "string" && value.trimStart().startsWith("[") ? parseList(value, column) : value;
}

/**
 * @param {string} path @param {string} column @param {FindFile} findFile
 */
async function readFile(path, column, findFile) {
  const file = await findFile(path);
  if (!file) throw new RowError(`column '${column}': '${path}' is not among the chosen files`);
  return file;
}

/**
 * Return a typed cell of a Parquet file as JSON's types, bytes as they are.
 * @param {unknown} cell
 * @param {string} column
 * @returns {any}
 */
function convertTyped(cell, column) {
  if (cell === undefined || cell === null || Number.isNaN(cell)) return null;
  if (typeof cell === "bigint") return Number.isSafeInteger(Number(cell)) ? Number(cell) : String(cell);
  if (typeof cell === "number" && !Number.isFinite(cell)) {
    throw new RowError(`column '${column}': ${cell} is not a finite number`);
  }
  if (cell instanceof Date) return cell.toISOString();
  if (Array.isArray(cell)) return cell.map((each) => convertTyped(each, column));
  if (ArrayBuffer.isView(cell) && !findBytes(cell)) return convertTyped([.../** @type {any} */ (cell)], column);
  return findBytes(cell) ?? cell;
}

/**
 * Return the bytes of a cell: as they are, or in a struct of bytes and path, in which other tools keep an image.
 * @param {unknown} cell
 * @returns {Uint8Array | undefined}
 */
export function findBytes(cell) {
  const bytes = typeof cell === "object" && cell !== null && "bytes" in cell ? cell.bytes : cell;
  return bytes instanceof Uint8Array ? bytes : undefined;
}

/**
 * @param {string} text
 * @param {string} column
 */
function parseList(text, column) {
  try {
    return JSON.parse(text);
  } catch {
    throw new RowError(`column '${column}': the list is not valid JSON`);
  }
}
