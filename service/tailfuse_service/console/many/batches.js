// Send rows to /predict/batch: several batches at once, smaller ones where a batch is refused.

import { RowError } from "./rows.js";

const MAX_ITEMS = 64;
const MAX_BYTES = 4 << 20; // of the items of one request, in characters: 16 MiB is the service's usual limit
const PARALLEL = 2; // while one batch runs, the next one arrives
const RETRIES = 5;
const TOO_LARGE = 413;
const BUSY = [429, 503];

/**
 * @typedef {{ at: number, json: string }} Item
 * @typedef {Record<string, any>} Result an answer or a problem of one row
 * @typedef {{
 *   count: number,
 *   limits: { max_items: number },
 *   makeItem: (at: number) => Promise<string>,
 *   post: (body: string, signal: AbortSignal) => Promise<{ results: Result[] }>,
 *   onResult: (at: number, result: Result) => void,
 *   signal: AbortSignal,
 * }} Run
 */

/**
 * Ask for every row, and hand over each result. Throw what `post` throws if a whole request fails.
 * @param {Run} run
 */
export async function runBatches(run) {
  const stop = new AbortController();
  const signal = AbortSignal.any([run.signal, stop.signal]);
  const batches = packItems({ ...run, signal });
  const send = async () => {
    for await (const batch of batches) await sendBatch(batch, { ...run, signal });
  };
  try {
    await Promise.all(Array.from({ length: PARALLEL }, send));
    run.signal.throwIfAborted();
  } finally {
    stop.abort();
  }
}

/**
 * Yield the items in batches. A row that cannot be sent gets its problem at once.
 * @param {Run} run
 */
async function* packItems({ count, limits, makeItem, onResult, signal }) {
  const maxItems = Math.min(MAX_ITEMS, limits.max_items);
  /** @type {Item[]} */
  let batch = [];
  let size = 0;
  for (let at = 0; at < count; at += 1) {
    signal.throwIfAborted();
    let json;
    try {
      json = await makeItem(at);
    } catch (error) {
      if (!(error instanceof RowError)) throw error;
      onResult(at, makeRowProblem(error.message));
      continue;
    }
    if (batch.length === maxItems || (batch.length && size + json.length > MAX_BYTES)) {
      yield batch;
      [batch, size] = [[], 0];
    }
    batch.push({ at, json });
    size += json.length;
  }
  if (batch.length) yield batch;
}

/** @param {string} detail */
export function makeRowProblem(detail) {
  return { type: "urn:tailfuse:problem:invalid-input", title: "Invalid input", status: 422, detail };
}

/**
 * Send a batch; in halves if it is too large for the service's own limits.
 * @param {Item[]} batch
 * @param {Run} run
 * @returns {Promise<void>}
 */
async function sendBatch(batch, run) {
  try {
    const body = `{"items":[${batch.map((item) => item.json).join(",")}]}`;
    const { results } = await postPatiently(body, run);
    if (results.length !== batch.length) {
      throw new Error(`the service answered ${results.length} of ${batch.length} rows`);
    }
    batch.forEach((item, at) => run.onResult(item.at, /** @type {Result} */ (results[at])));
  } catch (error) {
    const problem = /** @type {any} */ (error);
    if (problem.status !== TOO_LARGE) throw error;
    if (batch.length === 1) {
      run.onResult(/** @type {Item} */ (batch[0]).at, { ...makeRowProblem(problem.detail ?? problem.message), status: TOO_LARGE });
      return;
    }
    const half = batch.length >> 1;
    await sendBatch(batch.slice(0, half), run);
    await sendBatch(batch.slice(half), run);
  }
}

/**
 * Post a body, again after a pause while the service is busy.
 * @param {string} body
 * @param {Run} run
 */
async function postPatiently(body, { post, signal }) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await post(body, signal);
    } catch (error) {
      const problem = /** @type {any} */ (error);
      if (tries > RETRIES || !BUSY.includes(problem.status)) throw error;
      await pause(Number(problem.retryAfterS ?? 0) + 0.1 * 2 ** tries, signal);
    }
  }
}

/**
 * @param {number} seconds
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    }, { once: true });
  });
}
