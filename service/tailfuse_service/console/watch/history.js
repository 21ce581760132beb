// Figures from scrapes: rates, quantiles and means of what has happened between two of them.

import { findSeries, sumSeries } from "./exposition.js";

const MAX_SCRAPES = 150; // of lines: five minutes of one each two seconds
const SNAPSHOT_S = 30; // between two whole scrapes that are kept, which are large where classes are many
const MAX_SNAPSHOTS = 10;

/**
 * @typedef {import("./exposition.js").Exposition} Exposition
 * @typedef {{ at: number, exposition: Exposition }} Scrape `at` in seconds
 * @typedef {import("./exposition.js").Labels} Labels
 */

/**
 * Return how much a counter has grown. After a restart of the service it begins at 0 again.
 * @param {number | null} before @param {number | null} after
 */
export function countIncrease(before, after) {
  if (after === null) return null;
  return before === null || before > after ? after : after - before;
}

/**
 * Return the growth of a counter per second; null if it does not exist.
 * @param {Scrape} before @param {Scrape} after @param {string} name @param {Labels} [labels]
 */
export function computeRate(before, after, name, labels) {
  const grown = countIncrease(sumSeries(before.exposition, name, labels), sumSeries(after.exposition, name, labels));
  return grown === null || after.at <= before.at ? null : grown / (after.at - before.at);
}

/**
 * Return the mean of a histogram's values between two scrapes; null if there was none.
 * @param {Exposition} before @param {Exposition} after @param {string} name @param {Labels} [labels]
 */
export function computeMean(before, after, name, labels) {
  const grown = (/** @type {string} */ part) =>
    countIncrease(sumSeries(before, `${name}_${part}`, labels), sumSeries(after, `${name}_${part}`, labels));
  const [sum, count] = [grown("sum"), grown("count")];
  return sum === null || !count ? null : sum / count;
}

/**
 * Estimate a quantile of a histogram between two scrapes, linear within a bucket as Prometheus does it.
 * @param {Exposition} before @param {Exposition} after @param {string} name @param {number} quantile @param {Labels} [labels]
 */
export function estimateQuantile(before, after, name, quantile, labels) {
  const counts = [...countBuckets(before, after, name, labels)].sort(([a], [b]) => a - b);
  const total = counts.at(-1)?.[1] ?? 0;
  if (!total) return null;
  const rank = quantile * total;
  let low = 0, below = 0;
  for (const [edge, count] of counts) {
    if (count >= rank) return edge === Infinity ? low : low + ((edge - low) * (rank - below)) / (count - below || 1);
    [low, below] = [edge, count];
  }
  return low;
}

/**
 * Return the growth of each bucket (cumulative), by its upper edge, over all series.
 * @param {Exposition} before @param {Exposition} after @param {string} name @param {Labels} [labels]
 */
function countBuckets(before, after, name, labels) {
  const buckets = sumBuckets(before, name, labels);
  /** @type {Map<number, number>} */
  const grown = new Map();
  const now = sumBuckets(after, name, labels);
  const restarted = [...now].some(([edge, count]) => count < (buckets.get(edge) ?? 0));
  for (const [edge, count] of now) grown.set(edge, restarted ? count : count - (buckets.get(edge) ?? 0));
  return grown;
}

/** @param {Exposition} exposition @param {string} name @param {Labels} [labels] */
function sumBuckets(exposition, name, labels) {
  /** @type {Map<number, number>} */
  const sums = new Map();
  for (const { labels: own, value } of findSeries(exposition, `${name}_bucket`, labels)) {
    const edge = Number((own.get("le") ?? "").replace("+Inf", "Infinity"));
    sums.set(edge, (sums.get(edge) ?? 0) + value);
  }
  return sums;
}

/** The last scrapes: whole ones some time apart, and numbers of each for lines. */
export class History {
  /** @type {Scrape[]} */
  #snapshots = [];
  /** @type {Scrape | null} */
  #last = null;
  /** @type {Map<string, (number | null)[]>} */
  #lines = new Map();

  /**
   * Add a scrape, and the numbers that `measure` makes of the one before and this one.
   * @param {Scrape} scrape @param {(before: Scrape, after: Scrape) => Record<string, number | null>} measure
   */
  add(scrape, measure) {
    const newest = this.#snapshots.at(-1);
    if (!newest || scrape.at - newest.at >= SNAPSHOT_S) this.#snapshots = [...this.#snapshots, scrape].slice(-MAX_SNAPSHOTS);
    if (this.#last) {
      for (const [name, value] of Object.entries(measure(this.#last, scrape))) {
        this.#lines.set(name, [...(this.#lines.get(name) ?? []), value].slice(-MAX_SCRAPES));
      }
    }
    this.#last = scrape;
  }

  /** The oldest whole scrape that is kept: what has happened since is the last five minutes. */
  get oldest() {
    return this.#snapshots[0];
  }

  /** @param {string} name */
  line(name) {
    return this.#lines.get(name) ?? [];
  }
}
