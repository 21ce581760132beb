/** Parse replies of the service into results or errors. */

import { NoAnswer, Problem } from "./problems.js";

/** @typedef {import("../types/openapi.js").components["schemas"]} Schemas */
/** @typedef {Schemas["Answer"]} Answer */
/** @typedef {Schemas["ModelInfo"]} ModelInfo */
/** @typedef {Schemas["Models"]} Models */
/** @typedef {import("./retries.js").Reply} Reply */
/** @typedef {import("./retries.js").Failure} Failure */

/**
 * Parse the document of a 200, which has this member. Throws Problem or NoAnswer.
 *
 * @param {Reply | Failure} outcome
 * @param {string} url
 * @param {string} member
 * @returns {any}
 */
export function parseReply(outcome, url, member) {
  if ("error" in outcome) throw new NoAnswer(`${url}: ${describeFailure(outcome.error)}`, outcome.error);
  if (outcome.response.status !== 200) throw makeProblem(outcome);
  const document = parseObject(outcome.text);
  if (document !== undefined && member in document) return document;
  throw new NoAnswer(`${url}: the server there is not a tailfuse service`);
}

/**
 * Parse an answer or a problem for each item. Throws Problem or NoAnswer if the whole request failed.
 *
 * If a single item exceeds the maximum request size, the Problem is that of the item.
 *
 * @param {Reply | Failure} outcome
 * @param {string} url
 * @param {number} nItems
 * @returns {(Answer | Problem)[]}
 */
export function parseResults(outcome, url, nItems) {
  if (nItems === 1 && "response" in outcome && outcome.response.status === 413) return [makeProblem(outcome)];
  const { results } = parseReply(outcome, url, "results");
  if (!Array.isArray(results) || results.length !== nItems) {
    throw new NoAnswer(`${url}: expected ${nItems} results, got ${results?.length}`);
  }
  return results.map((each) => ("label" in each ? each : new Problem(each)));
}

/**
 * Parse the service's problem, or make one from the answer of a proxy.
 *
 * @param {Reply} reply
 */
function makeProblem({ response, text }) {
  const status = response.status;
  const document = parseObject(text);
  if (document !== undefined) return new Problem({ status, ...document });
  return new Problem({ status, title: response.statusText || "Unknown status", detail: text.slice(0, 500) });
}

/**
 * @param {string} text
 * @returns {Record<string, any> | undefined} a JSON object
 */
function parseObject(text) {
  try {
    const document = JSON.parse(text);
    return typeof document === "object" && document !== null && !Array.isArray(document) ? document : undefined;
  } catch {
    return undefined;
  }
}

/** @param {unknown} error */
function describeFailure(error) {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError") return "no answer in time";
  // Node says "fetch failed", and the cause why.
  const cause = /** @type {any} */ (error.cause);
  return cause?.message || cause?.code || error.message;
}
