/** The client. */

import { parseReply, parseResults } from "./replies.js";
import { MAX_ITEMS, makeBatchRequests, makePath, makePredictRequest, makeQuery } from "./requests.js";
import { DEADLINE_MS, RETRIES, TIMEOUT_MS, findPause, pauseFor } from "./retries.js";

/** @typedef {import("./problems.js").Problem} Problem */
/** @typedef {import("./replies.js").Answer} Answer */
/** @typedef {import("./replies.js").ModelInfo} ModelInfo */
/** @typedef {import("./replies.js").Models} Models */
/** @typedef {import("./requests.js").ApiRequest} ApiRequest */
/** @typedef {import("./values.js").Inputs} Inputs */

/**
 * Options of a client; null counts as not given, and Infinity is no limit of time.
 *
 * @typedef {object} ClientOptions
 * @property {string | null} [model] the model that is asked; default: the service's
 * @property {string | null} [version] its version, or "latest"
 * @property {string | null} [key] a client key, sent as `Authorization: Bearer`
 * @property {HeadersInit | null} [headers] of every request
 * @property {number | null} [timeoutMs] of an attempt: 40,000
 * @property {number | null} [deadlineMs] of a call with all its attempts and pauses: 120,000
 * @property {number | null} [retries] attempts after the first: 4
 * @property {typeof globalThis.fetch | null} [fetch] instead of the global one
 */

/**
 * Options of a prediction; null counts as not given.
 *
 * @typedef {object} PredictOptions
 * @property {number | null} [topK] keep only the most probable classes
 * @property {boolean | null} [explain] add the contribution of each modality
 * @property {"uniform" | "training" | "tempered" | null} [prior] the class shares that the answer holds for
 * @property {AbortSignal | null} [signal] aborts the call
 */

/** @typedef {PredictOptions & { maxItems?: number | null, concurrency?: number | null }} BatchOptions */

const MAX_TIMER_MS = 2 ** 31 - 1; // Node fires a timer of more at once

/**
 * Client of the service at `url`.
 *
 * A request that the service refused for now (429 or 503), or whose connection failed before an answer began,
 * is sent again: at most `retries` times, after the pause in Retry-After, and never after `deadlineMs`.
 */
export class Client {
  /** @type {string} */ #url;
  /** @type {string} */ #path;
  /** @type {Headers} */ #headers;
  /** @type {import("./retries.js").RetryPolicy} */ #policy;
  /** @type {typeof globalThis.fetch} */ #fetch;

  /**
   * @param {string | URL} url
   * @param {ClientOptions} [options]
   */
  constructor(url, options = {}) {
    this.#url = checkUrl(url);
    this.#path = makePath(options.model, options.version);
    this.#headers = new Headers(options.headers ?? undefined);
    if (options.key != null) this.#headers.set("Authorization", `Bearer ${options.key}`);
    this.#policy = {
      timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
      deadlineMs: options.deadlineMs ?? DEADLINE_MS,
      retries: options.retries ?? RETRIES,
    };
    // A browser's fetch is called on its window only.
    this.#fetch = options.fetch ?? ((...request) => globalThis.fetch(...request));
  }

  /**
   * Predict one sample, given by modality; null is absent. Throws Problem, NoAnswer, and TypeError for a value
   * that cannot be sent.
   *
   * @param {Inputs} inputs
   * @param {PredictOptions} [options]
   * @returns {Promise<Answer>}
   */
  async predict(inputs, options = {}) {
    const request = await makePredictRequest(inputs, `${this.#path}/predict${makeQuery(options)}`);
    return parseReply(await this.#exchange(request, options.signal), this.#url, "label");
  }

  /**
   * Yield an answer or a Problem for each item, in order. A request holds at most `maxItems` (256), and up to
   * `concurrency` (4) requests are sent at once. Throws if a whole request fails.
   *
   * @param {Iterable<Inputs> | AsyncIterable<Inputs>} items
   * @param {BatchOptions} [options]
   * @returns {AsyncGenerator<Answer | Problem, void>}
   */
  async *predictBatch(items, options = {}) {
    const maxItems = options.maxItems ?? MAX_ITEMS;
    const concurrency = options.concurrency ?? 4;
    if (!(concurrency >= 1)) throw new RangeError(`concurrency must be at least 1, got ${concurrency}`);
    const requests = makeBatchRequests(items, `${this.#path}/predict/batch${makeQuery(options)}`, maxItems);
    const stop = new AbortController(); // of a caller that takes no more results
    const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
    /** @type {Promise<(Answer | Problem)[]>[]} */
    const pending = [];
    try {
      for (;;) {
        while (pending.length < concurrency) {
          const next = await requests.next();
          if (next.done) break;
          const results = this.#fetchResults(next.value, signal);
          results.catch(() => {}); // it is awaited later, if at all
          pending.push(results);
        }
        const first = pending.shift();
        if (first === undefined) return;
        yield* await first;
      }
    } finally {
      stop.abort();
      await requests.return();
    }
  }

  /**
   * Return classes, modalities, input schema and metrics of the model. Throws Problem or NoAnswer.
   *
   * @param {{ signal?: AbortSignal | null }} [options]
   * @returns {Promise<ModelInfo>}
   */
  async model({ signal } = {}) {
    const outcome = await this.#exchange({ method: "GET", path: this.#path || "/model" }, signal);
    return parseReply(outcome, this.#url, "input_schema");
  }

  /**
   * Return the loaded models and their versions. Throws Problem or NoAnswer.
   *
   * @param {{ signal?: AbortSignal | null }} [options]
   * @returns {Promise<Models>}
   */
  async models({ signal } = {}) {
    return parseReply(await this.#exchange({ method: "GET", path: "/models" }, signal), this.#url, "models");
  }

  /**
   * Return whether the service is reachable and ready. The request is not sent again.
   *
   * @param {{ signal?: AbortSignal | null }} [options]
   * @returns {Promise<boolean>}
   */
  async ready({ signal } = {}) {
    const outcome = await this.#attempt({ method: "GET", path: "/readyz" }, this.#policy.timeoutMs, signal);
    return "response" in outcome && outcome.response.status === 200;
  }

  /**
   * @param {ApiRequest} request
   * @param {AbortSignal} signal
   */
  async #fetchResults(request, signal) {
    return parseResults(await this.#exchange(request, signal), this.#url, request.nItems ?? 0);
  }

  /**
   * @param {ApiRequest} request
   * @param {AbortSignal | null} [signal]
   */
  async #exchange(request, signal) {
    const start = performance.now();
    for (let tries = 1; ; tries++) {
      const left = Math.max(this.#policy.deadlineMs - (performance.now() - start), 0);
      const outcome = await this.#attempt(request, Math.min(this.#policy.timeoutMs, left), signal);
      const pause = findPause(this.#policy, outcome, tries, performance.now() - start);
      if (pause === undefined) return outcome;
      await pauseFor(pause, signal);
    }
  }

  /**
   * Send a request once. Rejects only if the caller's signal is aborted.
   *
   * @param {ApiRequest} request
   * @param {number} timeoutMs
   * @param {AbortSignal | null} [signal]
   * @returns {Promise<import("./retries.js").Reply | import("./retries.js").Failure>}
   */
  async #attempt({ method, path, body }, timeoutMs, signal) {
    const headers = new Headers(this.#headers);
    headers.delete("Content-Type"); // that of a form has its boundary
    if (typeof body === "string") headers.set("Content-Type", "application/json");
    const timeout = makeTimeout(timeoutMs);
    const either = signal ? AbortSignal.any([signal, timeout]) : timeout;
    let begun = false;
    try {
      const response = await this.#fetch(this.#url + path, { method, headers, body, signal: either });
      begun = true;
      return { response, text: await response.text() };
    } catch (error) {
      signal?.throwIfAborted();
      return { error: timeout.aborted ? timeout.reason : error, isTemporary: !begun && !timeout.aborted };
    }
  }
}

/**
 * Make a signal that is aborted after a time; one of Infinity, or of more than 24 days, never is.
 *
 * @param {number} timeoutMs
 */
function makeTimeout(timeoutMs) {
  if (timeoutMs > MAX_TIMER_MS) return new AbortController().signal;
  return AbortSignal.timeout(Math.ceil(timeoutMs)); // Node takes whole numbers only
}

/**
 * Return the URL without a slash at its end. Throws TypeError.
 *
 * @param {string | URL} url
 */
function checkUrl(url) {
  const parsed = new URL(url);
  if (!["http:", "https:"].includes(parsed.protocol)) {
    throw new TypeError(`${url}: expected a URL that starts with http:// or https://`);
  }
  if (parsed.username || parsed.password || parsed.search || parsed.hash) {
    throw new TypeError(`${url}: expected a URL without user, query and fragment; use the options key and headers`);
  }
  return parsed.href.replace(/\/+$/, "");
}
