/** Retries: which requests are sent again, and after which pause. */

export const TIMEOUT_MS = 40_000; // longer than the service's own time-out
export const DEADLINE_MS = 120_000;
export const RETRIES = 4;

const MIN_PAUSE_MS = 100;
const MAX_PAUSE_MS = 5_000;
const RETRIED_STATUSES = [429, 503]; // overloaded, or not ready

/**
 * What came of one attempt: a response with its body, or a failure. A failure is temporary if the connection
 * failed before an answer began: predictions change no state, so a repeated request is harmless.
 *
 * @typedef {{ response: Response, text: string }} Reply
 * @typedef {{ error: unknown, isTemporary: boolean }} Failure
 */

/**
 * Limits of one call, in milliseconds.
 *
 * @typedef {object} RetryPolicy
 * @property {number} timeoutMs of an attempt
 * @property {number} deadlineMs of a call with all its attempts and pauses
 * @property {number} retries attempts after the first
 */

/**
 * Return the milliseconds until the next attempt, after `tries` of them; undefined if the outcome is final.
 *
 * The pause is that of Retry-After plus a random part of a doubling time, so that clients refused at the same
 * time do not return at the same time.
 *
 * @param {RetryPolicy} policy
 * @param {Reply | Failure} outcome
 * @param {number} tries
 * @param {number} spentMs
 */
export function findPause(policy, outcome, tries, spentMs) {
  if (tries > policy.retries) return undefined;
  if ("error" in outcome ? !outcome.isTemporary : !RETRIED_STATUSES.includes(outcome.response.status)) {
    return undefined;
  }
  const requested = "error" in outcome ? 0 : parseRetryAfter(outcome.response.headers);
  const pause = requested + Math.random() * Math.min(MIN_PAUSE_MS * 2 ** (tries - 1), MAX_PAUSE_MS);
  return spentMs + pause < policy.deadlineMs ? pause : undefined;
}

/**
 * Parse Retry-After into milliseconds; a date is relative to the Date header. Return 0 if it is invalid.
 *
 * @param {Headers} headers
 */
export function parseRetryAfter(headers) {
  const requested = headers.get("retry-after") ?? "";
  if (/^\d+$/.test(requested)) return Number(requested) * 1000;
  const retryTime = Date.parse(requested);
  if (Number.isNaN(retryTime)) return 0;
  const now = Date.parse(headers.get("date") ?? "");
  return Math.max(retryTime - (Number.isNaN(now) ? Date.now() : now), 0);
}

/**
 * Wait; rejects with the signal's reason once it is aborted.
 *
 * @param {number} milliseconds
 * @param {AbortSignal | null | undefined} signal
 * @returns {Promise<void>}
 */
export function pauseFor(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
