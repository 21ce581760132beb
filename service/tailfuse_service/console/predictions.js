// Requests of predictions: of one sample, or of several in as few batches as the service's limits allow.

import { Problem } from "./requests.js";

/** @typedef {import("./types.d.ts").App} App */
/** @typedef {import("./types.d.ts").Answer} Answer */
/** @typedef {import("./types.d.ts").BatchResult} BatchResult */
/** @typedef {import("./types.d.ts").Inputs} Inputs */

const FILL = 0.9; // of the longest body: the rest is for what surrounds the items

/**
 * Return the answer to a sample. Throws Problem.
 * @param {App} app @param {Inputs} inputs @param {AbortSignal} signal @param {{ explain?: boolean }} [options]
 * @returns {Promise<Answer>}
 */
export function predict(app, inputs, signal, { explain = false } = {}) {
  const route = app.modelPath("/predict") + (explain ? "?explain=true" : "");
  return app.request(route, { method: "POST", body: JSON.stringify({ inputs }), signal });
}

/**
 * Return an answer or a problem for each sample, in order. Throws Problem.
 * @param {App} app @param {Inputs[]} samples @param {AbortSignal} signal
 * @returns {Promise<(Answer | Problem)[]>}
 */
export async function predictAll(app, samples, signal) {
  /** @type {(Answer | Problem)[]} */
  const found = [];
  for (const body of makeBodies(samples, app.schema.limits)) {
    const { results } = await app.request(app.modelPath("/predict/batch"), { method: "POST", body, signal });
    found.push(...results.map(toAnswer));
  }
  return found;
}

/** @param {BatchResult} result @returns {Answer | Problem} */
function toAnswer(result) {
  return "probabilities" in result ? /** @type {Answer} */ (result) : new Problem(result);
}

/**
 * Yield the bodies of as few batches as the limits allow.
 * @param {Inputs[]} samples @param {{ max_body_bytes: number, max_items: number }} limits
 */
export function* makeBodies(samples, limits) {
  const encoder = new TextEncoder();
  /** @type {string[]} */
  let items = [];
  let size = 0;
  for (const inputs of samples) {
    const item = JSON.stringify({ inputs });
    const bytes = encoder.encode(item).length + 1;
    if (items.length && (size + bytes > FILL * limits.max_body_bytes || items.length === limits.max_items)) {
      yield `{"items":[${items.join(",")}]}`;
      items = [];
      size = 0;
    }
    items.push(item);
    size += bytes;
  }
  if (items.length) yield `{"items":[${items.join(",")}]}`;
}
