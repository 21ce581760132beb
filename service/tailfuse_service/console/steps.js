// The values of a time series, read in the browser to be drawn and damaged. The service reads files itself.

import { decodeBase64 } from "./images.js";

/** @typedef {import("./types.d.ts").SeriesModality} SeriesModality */
/** @typedef {(number | null)[][]} Steps */

const MISSING = new Set(["", "na", "n/a", "nan", "null"]);

/**
 * Return the steps of a raw value; null for a file that is not read here.
 * @param {unknown} value @param {SeriesModality} modality
 * @returns {Steps | null}
 */
export function readSteps(value, modality) {
  if (typeof value !== "string") return toSteps(value, modality.columns);
  const bytes = decodeBase64(value);
  if (bytes === null || bytes.length < 12) return bytes && parseText(bytes, modality);
  const view = new DataView(bytes.buffer);
  const start = String.fromCharCode(...bytes.subarray(0, 6));
  try {
    if (start === "\x93NUMPY") return readNpy(view);
    if (start.startsWith("RIFF")) return readWav(view);
  } catch (error) {
    if (error instanceof RangeError) return null; // cut short
    throw error;
  }
  return parseText(bytes, modality);
}

/** @param {Uint8Array} bytes @param {SeriesModality} modality @returns {Steps | null} */
function parseText(bytes, modality) {
  const text = new TextDecoder().decode(bytes).replace(/^\ufeff/, "").trim();
  if (!/^[[{]/.test(text)) return parseSteps(text);
  try {
    return toSteps(JSON.parse(text), modality.columns);
  } catch {
    return null;
  }
}

/**
 * Return lines of numbers with commas, null if a line below the first has something else.
 * @param {string} text
 * @returns {Steps | null}
 */
export function parseSteps(text) {
  /** @type {Steps} */
  const steps = [];
  for (const [at, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "") continue;
    const step = line.split(",").map((cell) => (MISSING.has(cell.trim().toLowerCase()) ? null : Number(cell)));
    if (step.every((each) => each === null || Number.isFinite(each))) steps.push(step);
    else if (at > 0) return null;
  }
  return steps.length && steps.every((step) => step.length === steps[0]?.length) ? steps : null;
}

/** @param {unknown} value @param {string[]} columns @returns {Steps | null} */
function toSteps(value, columns) {
  if (Array.isArray(value)) {
    const steps = value.map((step) => (Array.isArray(step) ? step : [step]));
    return steps.every((step) => step.every((each) => each === null || typeof each === "number")) ? steps : null;
  }
  if (typeof value !== "object" || value === null) return null;
  const byColumn = new Map(Object.entries(value));
  const channels = columns.map((column) => byColumn.get(column)).map((each) => (Array.isArray(each) ? each : []));
  const length = Math.max(0, ...channels.map((each) => each.length));
  return Array.from({ length }, (_, at) => channels.map((each) => each[at] ?? null));
}

/** @param {DataView} view @returns {Steps | null} */
function readNpy(view) {
  const isFirst = view.getUint8(6) === 1;
  const start = isFirst ? 10 : 12;
  const end = start + (isFirst ? view.getUint16(8, true) : view.getUint32(8, true));
  const header = new TextDecoder().decode(new Uint8Array(view.buffer, start, end - start));
  const found = /'descr': *'([<|])([fiu])(\d)'.*'fortran_order': *False.*'shape': *\(([\d, ]*)\)/s.exec(header);
  const [, , kind = "", width = "", shape = ""] = found ?? [];
  const [steps = 0, channels = 1] = shape.split(",").filter((each) => each.trim()).map(Number);
  const read = NUMBERS.get(kind + width);
  if (!found || !read) return null;
  return Array.from({ length: steps }, (_, step) =>
    Array.from({ length: channels }, (_, channel) => read(view, end + Number(width) * (step * channels + channel))));
}

/** @type {Map<string, (view: DataView, at: number) => number>} */
const NUMBERS = new Map([
  ["f4", (view, at) => view.getFloat32(at, true)], ["f8", (view, at) => view.getFloat64(at, true)],
  ["i1", (view, at) => view.getInt8(at)], ["i2", (view, at) => view.getInt16(at, true)],
  ["i4", (view, at) => view.getInt32(at, true)], ["i8", (view, at) => Number(view.getBigInt64(at, true))],
  ["u1", (view, at) => view.getUint8(at)], ["u2", (view, at) => view.getUint16(at, true)],
]);

/** Read PCM of 16 bits or floats of 32, which are most recordings. @param {DataView} view @returns {Steps | null} */
function readWav(view) {
  let at = 12, encoding = 0, channels = 0, bits = 0;
  while (at + 8 <= view.byteLength) {
    const name = view.getUint32(at), size = view.getUint32(at + 4, true);
    if (name === 0x666d7420) { // "fmt "
      encoding = view.getUint16(at + 8, true);
      channels = view.getUint16(at + 10, true);
      bits = view.getUint16(at + 22, true);
    } else if (name === 0x64617461) { // "data"
      const read = encoding === 1 && bits === 16 ? (/** @type {number} */ offset) => view.getInt16(offset, true) / 32768
        : encoding === 3 && bits === 32 ? (/** @type {number} */ offset) => view.getFloat32(offset, true) : null;
      if (!read || !channels) return null;
      const length = Math.floor(Math.min(size, view.byteLength - at - 8) / (channels * bits / 8));
      return Array.from({ length }, (_, step) =>
        Array.from({ length: channels }, (_, channel) => read(at + 8 + (step * channels + channel) * bits / 8)));
    }
    at += 8 + size + (size % 2);
  }
  return null;
}
