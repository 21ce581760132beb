// Damage to a raw value, of a strength in 0..1. The same strength always does the same damage, and a greater one
// adds to it, so that a curve over the strength shows the strength alone.

import { decodeBase64, decodeImage, drawImage, encodeBase64, encodeCanvas, getContext } from "./images.js";
import { readSteps } from "./steps.js";
import { restore } from "./fields/tabular.js";

/** @typedef {import("./types.d.ts").Modality} Modality */
/** @typedef {import("./types.d.ts").ImageModality} ImageModality */
/** @typedef {import("./types.d.ts").TabularModality} TabularModality */
/** @typedef {import("./types.d.ts").Reference} Reference */
/** @typedef {(strength: number) => Promise<unknown>} Damage */

const MIN_SIDE = 64, MAX_SIDE = 384; // pixels of a damaged image: a curve is eleven of them in one batch
const SEED = 20_260_510;

/** The kinds of damage to each kind of modality, by name. @type {Record<string, [string, string][]>} */
export const DAMAGES = {
  image: [["noise", "Noise"], ["blur", "Blur"], ["blank", "Blank"], ["jpeg", "JPEG"]],
  tabular: [["shuffle", "Shuffled columns"]],
  text: [["drop", "Words dropped"]],
  series: [["noise", "Noise"]],
};

/**
 * Return a function that damages a value; null if the browser cannot read it.
 * @param {unknown} value @param {Modality} modality @param {string} kind @param {Reference | undefined} reference
 * @returns {Promise<Damage | null>}
 */
export async function prepareDamage(value, modality, kind, reference) {
  switch (modality.kind) {
    case "image": return prepareImageDamage(value, modality, kind);
    case "tabular": return async (strength) => shuffleColumns(value, modality, reference, strength);
    case "text": return async (strength) => dropWords(value, strength);
    case "series": {
      const steps = readSteps(value, modality);
      const random = makeRandom();
      const noise = steps?.map((step) => step.map(() => drawNormal(random))) ?? [];
      return steps && (async (strength) => steps.map((step, at) => step.map((number, channel) =>
        number === null ? null : number + 2 * strength * (modality.channels[channel]?.scale ?? 1) * (noise[at]?.[channel] ?? 0))));
    }
  }
}

/**
 * @param {unknown} value @param {ImageModality} modality @param {string} kind
 * @returns {Promise<Damage | null>}
 */
async function prepareImageDamage(value, modality, kind) {
  const bytes = typeof value === "string" ? decodeBase64(value) : null;
  const image = bytes && (await decodeImage(new Blob([bytes])));
  if (!image) return null;
  const side = Math.min(MAX_SIDE, Math.max(MIN_SIDE, 2 * modality.width, 2 * modality.height));
  return async (strength) => {
    const canvas = drawImage(image, side);
    if (kind === "blur") blur(canvas, strength);
    else if (kind !== "jpeg") changePixels(canvas, kind, strength);
    const [type, quality] = kind === "jpeg" && strength > 0 ? ["image/jpeg", 1 - strength] : ["image/png"];
    return encodeBase64(await encodeCanvas(canvas, String(type), Number(quality ?? 1)));
  };
}

/**
 * Blur by means over a window of up to a quarter of the longer side, twice along each axis. The filters of a canvas
 * are not in every browser.
 * @param {HTMLCanvasElement} canvas @param {number} strength
 */
function blur(canvas, strength) {
  const { width, height } = canvas;
  const context = getContext(canvas);
  const pixels = context.getImageData(0, 0, width, height);
  const radius = Math.ceil((strength * Math.max(width, height)) / 8);
  for (let pass = 0; pass < 2; pass++) {
    for (let y = 0; y < height; y++) blurLine(pixels.data, 4 * y * width, 4, width, radius);
    for (let x = 0; x < width; x++) blurLine(pixels.data, 4 * x, 4 * width, height, radius);
  }
  context.putImageData(pixels, 0, 0);
}

/**
 * Replace the pixels of a row or a column by the means of those within a radius.
 * @param {Uint8ClampedArray} data @param {number} start @param {number} stride @param {number} length @param {number} radius
 */
function blurLine(data, start, stride, length, radius) {
  const sums = new Float64Array(length + 1); // of all pixels before each
  for (let channel = start; channel < start + 3; channel++) {
    for (let at = 0; at < length; at++) sums[at + 1] = (sums[at] ?? 0) + (data[channel + at * stride] ?? 0);
    for (let at = 0; at < length; at++) {
      const low = Math.max(0, at - radius), high = Math.min(length, at + radius + 1);
      data[channel + at * stride] = ((sums[high] ?? 0) - (sums[low] ?? 0)) / (high - low);
    }
  }
}

/** Add noise, or fade to grey. @param {HTMLCanvasElement} canvas @param {string} kind @param {number} strength */
function changePixels(canvas, kind, strength) {
  const context = getContext(canvas);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  const { data } = pixels;
  const random = makeRandom();
  for (let at = 0; at < data.length; at++) {
    if (at % 4 === 3) continue; // opacity
    const value = data[at] ?? 0;
    data[at] = kind === "noise" ? value + 128 * strength * drawNormal(random) : value + strength * (128 - value);
  }
  context.putImageData(pixels, 0, 0);
}

/**
 * Give a share of the columns values as other rows have them: drawn from the reference of each column, or from its
 * categories.
 * @param {unknown} value @param {TabularModality} modality @param {Reference | undefined} reference @param {number} strength
 */
export function shuffleColumns(value, { columns }, reference, strength) {
  const row = new Map(Array.isArray(value) ? value.map((each, at) => [columns[at]?.name ?? "", each]) : Object.entries(value ?? {}));
  const random = makeRandom();
  const order = shuffle(columns.map((_, at) => at), random);
  const others = columns.map((column) => {
    const place = random();
    if (column.type === "boolean") return place < 0.5;
    if (column.type === "category") return column.categories[Math.floor(place * column.categories.length)];
    const edges = reference?.inputs.find((input) => input.name === column.name)?.edges ?? [];
    // Older bundles have no reference: then as far from the mean as rows are.
    const standardised = edges.length > 1 ? edges[Math.floor(place * edges.length)] ?? 0 : drawNormal(random);
    return restore(column, standardised);
  });
  for (const at of order.slice(0, Math.round(strength * columns.length))) {
    const name = columns[at]?.name ?? "";
    if (row.get(name) != null) row.set(name, others[at]);
  }
  return Object.fromEntries(row);
}

/**
 * Drop a share of the words; with all of them dropped, the text is missing.
 * @param {unknown} value @param {number} strength
 * @returns {unknown}
 */
export function dropWords(value, strength) {
  if (typeof value === "object" && value !== null) {
    const texts = Object.entries(value).map(([column, text]) => [column, dropWords(text, strength)]);
    return texts.every(([, text]) => text === null) ? null : Object.fromEntries(texts);
  }
  const words = String(value ?? "").split(/\s+/).filter(Boolean);
  const order = shuffle(words.map((_, at) => at), makeRandom());
  const dropped = new Set(order.slice(0, Math.round(strength * words.length)));
  return words.filter((_, at) => !dropped.has(at)).join(" ") || null;
}

/** Return numbers in 0..1 that are the same each time (mulberry32). */
function makeRandom() {
  let state = SEED;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Return a number of the standard normal distribution (Box and Muller). @param {() => number} random */
function drawNormal(random) {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** @template T @param {T[]} items @param {() => number} random */
function shuffle(items, random) {
  return items.map((item) => ({ item, key: random() })).sort((a, b) => a.key - b.key).map(({ item }) => item);
}
