// The figures of one model's version: its modalities and classes beside their references.

import { findSeries, sumSeries } from "./exposition.js";
import { computeMean, countIncrease } from "./history.js";

/**
 * @typedef {import("./exposition.js").Exposition} Exposition
 * @typedef {{ model: string, version: string }} Version
 * @typedef {{ modality: string, values: Record<string, number | null> }} ModalityFigures by the metric's name
 * @typedef {{ label: string, shot: string, training: number | null, predicted: number | null, count: number }} ClassFigures
 */

/** What is shown of a modality; counts of rows are shares of all samples. */
export const MODALITY_METRICS = [
  "tailfuse_modality_present_total", "tailfuse_reference_presence", "tailfuse_fusion_weight", "tailfuse_reference_weight",
  "tailfuse_confidence", "tailfuse_reference_confidence", "tailfuse_weight_drift", "tailfuse_drift_rows",
];

/**
 * Return the figures of each modality, since the first scrape where they are means.
 * @param {Exposition} before @param {Exposition} now @param {Version} version @param {string[]} modalities
 * @returns {ModalityFigures[]}
 */
export function readModalities(before, now, version, modalities) {
  const samples = growth(before, now, "tailfuse_samples_total", version);
  return modalities.map((modality) => {
    const labels = { ...version, modality };
    const present = growth(before, now, "tailfuse_modality_present_total", labels);
    /** @type {Record<string, number | null>} */
    const values = {
      tailfuse_modality_present_total: present === null || !samples ? null : present / samples,
      tailfuse_fusion_weight: computeMean(before, now, "tailfuse_fusion_weight", labels),
      tailfuse_confidence: computeMean(before, now, "tailfuse_confidence", labels),
    };
    for (const name of ["reference_presence", "reference_weight", "reference_confidence", "weight_drift", "drift_rows"]) {
      values[`tailfuse_${name}`] = sumSeries(now, `tailfuse_${name}`, labels);
    }
    return { modality, values };
  });
}

/**
 * Return the drift of each input, largest first.
 * @param {Exposition} now @param {Version} version
 */
export function readInputDrift(now, version) {
  return findSeries(now, "tailfuse_input_drift", version)
    .map(({ labels, value }) => ({ modality: labels.get("modality") ?? "", input: labels.get("input") ?? "", value }))
    .sort((a, b) => b.value - a.value);
}

/**
 * Return the share of each class among the predictions since the first scrape, and in training.
 * @param {Exposition} before @param {Exposition} now @param {Version} version
 * @returns {ClassFigures[]}
 */
export function readClasses(before, now, version) {
  const counts = new Map(findSeries(now, "tailfuse_predictions_total", version).map(({ labels, value }) => {
    const label = labels.get("label") ?? "";
    const earlier = sumSeries(before, "tailfuse_predictions_total", { ...version, label });
    return [label, countIncrease(earlier, value) ?? 0];
  }));
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const training = findSeries(now, "tailfuse_class_training_share", version);
  return training.map(({ labels, value }) => {
    const label = labels.get("label") ?? "";
    const count = counts.get(label) ?? 0;
    return { label, shot: labels.get("shot") ?? "", training: value, predicted: total ? count / total : null, count };
  });
}

/** What is compared between the versions of a model that answer or are asked beside them. */
export const VERSION_METRICS = [
  "tailfuse_samples_total", "tailfuse_entropy", "tailfuse_expert_disagreement", "tailfuse_conflict",
];

/**
 * Return the figures of a version since the first scrape: its answered samples, and the means of the others.
 * @param {Exposition} before @param {Exposition} now @param {Version} version
 * @returns {Record<string, number | null>}
 */
export function readVersion(before, now, version) {
  const [samples = "", ...means] = VERSION_METRICS;
  return {
    [samples]: growth(before, now, samples, version),
    ...Object.fromEntries(means.map((name) => [name, computeMean(before, now, name, version)])),
  };
}

/**
 * Return what a shadow agreed and disagreed upon: its outcomes, and the pairs of labels, most frequent first.
 * @param {Exposition} now @param {Version} version
 */
export function readShadow(now, version) {
  /** @type {Map<string, number>} */
  const outcomes = new Map();
  for (const { labels, value } of findSeries(now, "tailfuse_shadow_samples_total", version)) {
    const outcome = labels.get("outcome") ?? "";
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + value);
  }
  const pairs = findSeries(now, "tailfuse_shadow_disagreements_total", version)
    .map(({ labels, value }) => ({ label: labels.get("label") ?? "", shadow: labels.get("shadow_label") ?? "", count: value }))
    .sort((a, b) => b.count - a.count);
  return { outcomes, pairs };
}

/** @param {Exposition} before @param {Exposition} now @param {string} name @param {import("./exposition.js").Labels} labels */
function growth(before, now, name, labels) {
  return countIncrease(sumSeries(before, name, labels), sumSeries(now, name, labels));
}
