// The results of many rows: kept, filtered, sorted, and written as CSV.

import { compareValues } from "../grid.js";
import { formatCsvLine } from "./csv.js";

export const MAX_CLASSES = 100; // with more, the download has the predicted class only

/**
 * @typedef {{
 *   at: number,
 *   name: string,
 *   label: string | null,
 *   probability: number | null,
 *   conflict: number | null,
 *   problem: string | null,
 *   weights: (number | null)[],
 *   confidences: (number | null)[],
 *   probabilities: Float32Array | null,
 * }} Result
 * @typedef {{ label: string, minConfidence: number, maxConfidence: number, minConflict: number, onlyProblems: boolean }} Filter
 * @typedef {"at" | "name" | "label" | "probability" | "conflict" | "problem"} SortKey
 * @typedef {{ key: SortKey, descending: boolean }} Sort
 */

/** @type {Filter} */
export const NO_FILTER = { label: "", minConfidence: 0, maxConfidence: 1, minConflict: 0, onlyProblems: false };

/**
 * Return a result from an answer or a problem of the service.
 * @param {number} at
 * @param {string} name
 * @param {Record<string, any>} answer
 * @param {readonly string[]} classes
 * @param {readonly string[]} modalities
 * @returns {Result}
 */
export function makeResult(at, name, answer, classes, modalities) {
  const isAnswer = typeof answer.label === "string";
  const each = (/** @type {string} */ key) => modalities.map((modality) => answer.modalities?.[modality]?.[key] ?? null);
  return {
    at,
    name,
    label: isAnswer ? answer.label : null,
    probability: answer.probability ?? null,
    conflict: answer.conflict ?? null,
    problem: isAnswer ? null : describeProblem(answer),
    weights: isAnswer ? each("weight") : [],
    confidences: isAnswer ? each("confidence") : [],
    probabilities:
      isAnswer && classes.length <= MAX_CLASSES
        ? Float32Array.from(classes, (label) => answer.probabilities[label] ?? NaN)
        : null,
  };
}

/** @param {Record<string, any>} problem */
function describeProblem(problem) {
  return String(problem.detail ?? problem.title ?? "no answer");
}

/**
 * Return the indices of the results that pass a filter, in order.
 * @param {readonly (Result | undefined)[]} results
 * @param {Filter} filter
 * @param {Sort} sort
 */
export function selectResults(results, filter, sort) {
  const text = filter.label.trim().toLowerCase();
  /** @type {number[]} */
  const chosen = [];
  results.forEach((result, at) => {
    if (result && matches(result, filter, text)) chosen.push(at);
  });
  const value = (/** @type {number} */ at) => /** @type {Result} */ (results[at])[sort.key];
  return chosen.sort((a, b) => compareValues(value(a), value(b), sort.descending) || a - b);
}

/**
 * @param {Result} result
 * @param {Filter} filter
 * @param {string} text
 */
function matches(result, filter, text) {
  if (filter.onlyProblems && result.problem === null) return false;
  if (text && !result.label?.toLowerCase().includes(text)) return false;
  const { minConfidence: low, maxConfidence: high, minConflict } = filter;
  if ((low > 0 || high < 1) && !isBetween(result.probability, low, high)) return false;
  return minConflict <= 0 || isBetween(result.conflict, minConflict, 1);
}

/**
 * @param {number | null} value
 * @param {number} low
 * @param {number} high
 */
function isBetween(value, low, high) {
  return value !== null && value >= low && value <= high;
}

/**
 * Yield the lines of a CSV file, with the columns of `tailfuse call` and the name of the row's file.
 * @param {readonly Result[]} results
 * @param {readonly string[]} classes
 * @param {readonly string[]} modalities
 */
export function* writeResults(results, classes, modalities) {
  const shown = classes.length <= MAX_CLASSES ? classes : [];
  yield formatCsvLine([
    "row", "file", "label", "probability",
    ...shown.map((label) => `probability.${label}`),
    ...modalities.flatMap((name) => [`weight.${name}`, `confidence.${name}`]),
    "conflict", "problem",
  ]);
  for (const result of results) {
    yield formatCsvLine([
      result.at + 1, result.name, result.label, result.probability,
      ...shown.map((_, at) => roundSingle(result.probabilities?.[at])),
      ...modalities.flatMap((_, at) => [result.weights[at], result.confidences[at]]),
      result.conflict, result.problem,
    ]);
  }
}

/**
 * Return a number of single precision as the shortest text that means it.
 * @param {number | undefined} value
 */
function roundSingle(value) {
  return value === undefined || Number.isNaN(value) ? null : Number(value.toPrecision(7));
}
