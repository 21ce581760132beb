// The rows of chosen files: of a table (CSV, Parquet), or one for each image. A ZIP may hold both.

import { openArchive } from "./archive.js";
import { TableError, findSeparator, parseCsv } from "./csv.js";
import { RowError, checkColumns, findBytes, listColumns } from "./rows.js";

export const MAX_ROWS = 400_000; // rows of 40 px: Firefox draws nothing higher than 17.9 million
export const ACCEPT = ".csv,.tsv,.txt,.parquet,.zip,image/*";
const TABLE = /\.(csv|tsv|parquet)$/i;
const ARCHIVE = /\.zip$/i;
const IMAGE = /\.(avif|bmp|dcm|gif|heic|heif|jpe?g|png|tiff?|webp)$/i;
const HIDDEN = /(^|\/)(\.|__MACOSX\/)/; // what systems put beside a user's files

/**
 * @typedef {import("./rows.js").Modalities} Modalities
 * @typedef {{ name: string, open: () => Promise<Blob> }} Entry a file, opened when it is needed
 * @typedef {{ count: number, row: (at: number) => Record<string, unknown> }} Rows
 * @typedef {Rows & { title: string, warnings: string[], imageColumn: string | undefined, findFile: import("./rows.js").FindFile }} Source
 */

/**
 * Return the rows of the chosen files. Throw TableError or RowError, in words for the user.
 * @param {readonly File[]} files
 * @param {Modalities} modalities
 * @returns {Promise<Source>}
 */
export async function openSource(files, modalities) {
  const entries = (await Promise.all(files.map(listEntries))).flat().filter((each) => !HIDDEN.test(each.name));
  const tables = entries.filter((each) => TABLE.test(each.name));
  if (tables.length > 1) {
    throw new TableError(`one table at a time; got ${tables.map((each) => `'${each.name}'`).join(", ")}`);
  }
  const others = entries.filter((each) => !TABLE.test(each.name));
  const findFile = makeFinder(others);
  const [table] = tables;
  if (table) {
    const { rows, columns } = await readTable(table, modalities);
    const imageColumn = imageColumns(modalities).find((column) => columns.includes(column));
    const warnings = checkColumns(columns, modalities);
    return { ...limitRows(rows), title: table.name, warnings, imageColumn, findFile };
  }
  return { ...listImages(others, modalities), findFile };
}

/**
 * @param {File} file
 * @returns {Promise<Entry[]>}
 */
async function listEntries(file) {
  return ARCHIVE.test(file.name) ? openArchive(file) : [{ name: file.name, open: async () => file }];
}

/** @param {Modalities} modalities */
function imageColumns(modalities) {
  return Object.values(modalities).filter((each) => each.kind === "image").flatMap(listColumns);
}

/**
 * @param {Entry} table
 * @param {Modalities} modalities
 */
async function readTable(table, modalities) {
  const wanted = new Set(Object.values(modalities).flatMap(listColumns));
  const blob = await table.open();
  return /\.parquet$/i.test(table.name) ? readParquet(blob, wanted) : readCsv(blob, wanted);
}

/**
 * @param {Blob} blob
 * @param {ReadonlySet<string>} wanted
 */
async function readCsv(blob, wanted) {
  const text = decodeText(await blob.arrayBuffer());
  const lines = [...parseCsv(text, findSeparator(text, wanted))];
  const columns = lines.shift()?.cells ?? [];
  const twice = columns.find((name, at) => columns.indexOf(name) !== at && wanted.has(name));
  if (twice !== undefined) throw new TableError(`the table has two columns '${twice}'`);
  const row = (/** @type {number} */ at) => {
    const { line, cells } = /** @type {{ line: number, cells: string[] }} */ (lines[at]);
    if (cells.length !== columns.length) {
      throw new RowError(`line ${line}: ${cells.length} values, expected ${columns.length}`);
    }
    return makeRecord(columns, cells);
  };
  return { columns, rows: { count: lines.length, row } };
}

/** @param {ArrayBuffer} bytes */
function decodeText(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new TableError("the table is not UTF-8 text; save it as CSV in UTF-8");
  }
}

/**
 * @param {Blob} blob
 * @param {ReadonlySet<string>} wanted
 */
async function readParquet(blob, wanted) {
  const { readParquetTable } = await import("./parquet.js"); // only who brings such a file loads its reader
  const { columns, read, rows } = await readParquetTable(blob, wanted);
  const row = (/** @type {number} */ at) => makeRecord(read, rows[at] ?? []);
  return { columns, rows: { count: rows.length, row } };
}

/**
 * @param {readonly string[]} columns
 * @param {readonly unknown[]} cells
 * @returns {Record<string, unknown>}
 */
function makeRecord(columns, cells) {
  const record = Object.create(null); // any name is a plain key
  columns.forEach((name, at) => (record[name] = cells[at]));
  return record;
}

/** @param {Rows} rows */
function limitRows(rows) {
  if (!rows.count) throw new TableError("the table has no rows");
  if (rows.count > MAX_ROWS) {
    throw new TableError(`${rows.count} rows; a page takes ${MAX_ROWS} at most. Use 'tailfuse call' for more`);
  }
  return rows;
}

/**
 * Return a row for each image.
 * @param {readonly Entry[]} entries
 * @param {Modalities} modalities
 */
function listImages(entries, modalities) {
  const [column, ...more] = imageColumns(modalities);
  if (column === undefined) throw new TableError("this model reads no images; choose a table");
  const images = entries.filter((each) => IMAGE.test(each.name)).map((each) => each.name);
  if (!images.length) throw new TableError("the chosen files hold neither a table nor an image");
  const others = entries.length - images.length;
  const warnings = more.length ? [`the images are sent as '${column}'; a table can fill ${more.map((each) => `'${each}'`).join(", ")} too`] : [];
  if (others) warnings.push(`${others} ${others === 1 ? "file is" : "files are"} neither a table nor an image`);
  const rows = limitRows({ count: images.length, row: (at) => makeRecord([column], [images[at]]) });
  return { ...rows, title: "images", warnings, imageColumn: column };
}

/**
 * Return the name of the file that a row's image is in; empty where it is in none.
 * @param {Source} source @param {number} at
 */
export function nameFile(source, at) {
  const cell = readImageCell(source, at);
  return typeof cell === "string" && !cell.startsWith("[") ? cell : "";
}

/**
 * Return a row's image, for a thumbnail.
 * @param {Source} source @param {number} at
 * @returns {Promise<Blob | undefined>}
 */
export async function openImage(source, at) {
  const cell = readImageCell(source, at);
  if (typeof cell === "string") return source.findFile(cell).catch(() => undefined);
  const bytes = findBytes(cell);
  return bytes && new Blob([/** @type {Uint8Array<ArrayBuffer>} */ (bytes)]);
}

/** @param {Source} source @param {number} at */
function readImageCell(source, at) {
  try {
    return source.imageColumn === undefined ? undefined : source.row(at)[source.imageColumn];
  } catch {
    return undefined; // the row's own problem says why
  }
}

/**
 * Return a function that finds a file by its path, or by its name where only one file has it.
 * @param {readonly Entry[]} entries
 * @returns {import("./rows.js").FindFile}
 */
function makeFinder(entries) {
  /** @type {Map<string, Entry[]>} */
  const byName = new Map();
  const add = (/** @type {string} */ key, /** @type {Entry} */ entry) => {
    const known = byName.get(key) ?? [];
    if (!known.includes(entry)) byName.set(key, [...known, entry]);
  };
  for (const entry of entries) {
    add(entry.name, entry);
    add(`*/${baseName(entry.name)}`, entry);
  }
  return async (path) => {
    const cleaned = path.replaceAll("\\", "/").replace(/^(\.\/)+/, "");
    const exact = byName.get(cleaned);
    const found = exact ?? byName.get(`*/${baseName(cleaned)}`) ?? [];
    if (found.length > 1) throw new RowError(`'${path}' fits ${found.length} of the chosen files`);
    return found[0]?.open();
  };
}

/** @param {string} path */
function baseName(path) {
  return path.slice(path.lastIndexOf("/") + 1);
}
