// The subsets of modalities that are shown side by side.

import { isolate } from "./element.js";

/** @typedef {import("./types.d.ts").Child} Child */

const MAX_ALL = 4; // modalities, up to which all subsets are shown: 15

/**
 * Return subsets of modalities, the whole first. Of many modalities, they are those without one and each alone.
 * @param {string[]} names
 * @returns {string[][]}
 */
export function listSubsets(names) {
  if (names.length > MAX_ALL) {
    const without = names.map((name) => names.filter((each) => each !== name));
    return [names, ...without, ...names.map((name) => [name])];
  }
  const subsets = Array.from({ length: 2 ** names.length - 1 }, (_, bits) => names.filter((_, at) => (bits + 1) & (1 << at)));
  return subsets.sort((a, b) => b.length - a.length);
}

/**
 * Name a subset of modalities.
 * @param {string[]} subset @param {string[]} names @returns {Child[]}
 */
export function nameSubset(subset, names) {
  if (subset.length === names.length && names.length > 1) return ["all"];
  const [missing] = names.filter((name) => !subset.includes(name));
  if (names.length > MAX_ALL && subset.length === names.length - 1) return isolate`without ${missing}`;
  return subset.flatMap((name, at) => isolate`${at ? " + " : ""}${name}`);
}
