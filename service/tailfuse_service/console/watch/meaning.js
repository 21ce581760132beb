// What the service says about its metrics: the page has no second copy of a metric's meaning.

import { element } from "../element.js";
import { findFamily } from "./exposition.js";

/** @typedef {import("./exposition.js").Exposition} Exposition */

/** Return what the service says about a metric. @param {Exposition} exposition @param {string} metric */
export function describe(exposition, metric) {
  return findFamily(exposition, metric)?.help ?? "";
}

/** Return a metric's meaning and its name, as children. @param {Exposition} exposition @param {string} metric */
export function explain(exposition, metric) {
  return [describe(exposition, metric), " ", element("code", {}, metric)];
}
