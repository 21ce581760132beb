/** Requests as values, made before anything is sent. */

import { encodeSample, encodeValues } from "./values.js";

/** @typedef {import("./values.js").Inputs} Inputs */
/** @typedef {import("./values.js").JsonValue} JsonValue */

/**
 * @typedef {object} ApiRequest
 * @property {"GET" | "POST"} method
 * @property {string} path
 * @property {string | FormData} [body] a text is JSON
 * @property {number} [nItems] of a batch
 */

export const MAX_ITEMS = 256; // of a batch: the service's default limit
export const MAX_BYTES = 8 << 20; // of a batch's items: half of the service's default limit

const ENCODER = new TextEncoder();

/**
 * Make the path of a model or of one version; "" is the default model. Null is not given.
 *
 * @param {string | null | undefined} model
 * @param {string | null | undefined} version
 */
export function makePath(model, version) {
  if (model == null) {
    if (version != null) throw new TypeError("version requires model; got a version without a model");
    return "";
  }
  const path = `/models/${encodeURIComponent(model)}`;
  return version == null ? path : `${path}/versions/${encodeURIComponent(version)}`;
}

/**
 * Make the query of parameters that differ from the defaults; null is not given.
 *
 * @param {{ topK?: number | null, explain?: boolean | null, prior?: string | null }} options
 */
export function makeQuery({ topK, explain, prior }) {
  const query = new URLSearchParams();
  if (topK != null) query.set("top_k", String(topK));
  if (explain) query.set("explain", "true");
  if (prior != null) query.set("prior", prior);
  const text = query.toString();
  return text && `?${text}`;
}

/**
 * Make a prediction request: a form if there are files, as base64 is a third longer; otherwise JSON.
 *
 * @param {Inputs} inputs
 * @param {string} path
 * @returns {Promise<ApiRequest>}
 */
export async function makePredictRequest(inputs, path) {
  const values = encodeValues(inputs);
  const all = [...values.values()];
  const asForm = all.some((value) => value instanceof Blob) && !all.some(isAmbiguousInForm);
  return { method: "POST", path, body: asForm ? makeForm(values) : await encodeSample(values) };
}

/**
 * Return whether a form would be ambiguous: strings by column would be read as one text.
 *
 * @param {JsonValue | Blob} value
 */
function isAmbiguousInForm(value) {
  if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Blob) return false;
  return Object.values(value).every((each) => each === null || typeof each === "string");
}

/** @param {Map<string, JsonValue | Blob>} values */
function makeForm(values) {
  const form = new FormData();
  for (const [name, value] of values) {
    if (value instanceof Blob) form.append(name, value, value instanceof File ? value.name : name);
    else form.append(name, typeof value === "string" ? value : JSON.stringify(value));
  }
  return form;
}

/**
 * Pack items into requests of at most `maxItems` and MAX_BYTES; an item is never split.
 *
 * @param {Iterable<Inputs> | AsyncIterable<Inputs>} items
 * @param {string} path
 * @param {number} maxItems
 * @returns {AsyncGenerator<ApiRequest, void>}
 */
export async function* makeBatchRequests(items, path, maxItems) {
  if (!(maxItems >= 1)) throw new RangeError(`maxItems must be at least 1, got ${maxItems}`);
  /** @type {string[]} */
  let pending = [];
  let nBytes = 0;
  for await (const item of items) {
    const encoded = await encodeSample(encodeValues(item));
    const size = ENCODER.encode(encoded).length;
    if (pending.length > 0 && nBytes + size > MAX_BYTES) {
      yield makeBatchRequest(pending, path);
      [pending, nBytes] = [[], 0];
    }
    pending.push(encoded);
    nBytes += size;
    if (pending.length >= maxItems) {
      yield makeBatchRequest(pending, path);
      [pending, nBytes] = [[], 0];
    }
  }
  if (pending.length > 0) yield makeBatchRequest(pending, path);
}

/**
 * @param {string[]} items encoded as JSON
 * @param {string} path
 * @returns {ApiRequest}
 */
function makeBatchRequest(items, path) {
  return { method: "POST", path, body: `{"items":[${items.join(",")}]}`, nItems: items.length };
}
