// An answer as people read it: the label, its bars, the weights, and what each modality did.

import { drawBar, drawBars, drawStack, makeTable } from "./charts.js";
import { element, formatShare, isolate, replaceContent } from "./element.js";

/** @typedef {import("./types.d.ts").Answer} Answer */
/** @typedef {import("./types.d.ts").Explanation} Explanation */
/** @typedef {import("./types.d.ts").Child} Child */

const MAX_BARS = 10; // classes shown without asking; there may be thousands
const MAX_TOLD = 4; // modalities named in a sentence

/**
 * Return the label and what is to be known of it in one sentence each.
 * @param {Answer} answer
 */
export function showHeadline(answer) {
  return element("div", {},
    element("p", { class: "headline" }, answer.label),
    element("p", {}, `with a probability of ${formatShare(answer.probability)}`),
    ...describeConflict(answer).map((sentence) => element("p", {}, ...sentence)));
}

/**
 * Return sentences on whether the modalities agree.
 * @param {Answer} answer @returns {Child[][]}
 */
export function describeConflict(answer) {
  const sentences = [];
  const { explanation, conflict } = answer;
  const alone = Object.entries(explanation?.alone ?? {});
  if (explanation?.disagree) {
    const told = alone.slice(0, MAX_TOLD).flatMap(([name, part], at) =>
      [at ? ", " : "", ...isolate`${name} alone says ${part.label} (${formatShare(part.probability)})`]);
    const more = alone.length > MAX_TOLD ? `, and ${alone.length - MAX_TOLD} more below` : "";
    sentences.push(["The modalities disagree: ", ...told, `${more}.`]);
  } else if (alone.length > 1) {
    sentences.push(isolate`The modalities agree: each of them alone says ${alone[0]?.[1].label}.`);
  }
  if (conflict != null)
    sentences.push([`${conflict >= 0.5 ? "In conflict" : "No conflict"}: the probability that a modality's values belong to another sample is ${formatShare(conflict)}.`]);
  return sentences;
}

/**
 * Return the probabilities as bars: the most probable classes, and all on demand. An object does not keep the
 * order of classes that look like numbers, so they are sorted here.
 * @param {Answer} answer
 */
export function showProbabilities(answer) {
  const rows = Object.entries(answer.probabilities).sort((a, b) => b[1] - a[1]);
  const few = drawBars("Probabilities", "Class", rows.slice(0, MAX_BARS), answer.label);
  if (rows.length <= MAX_BARS) return few;
  const box = element("div", {}, few);
  const button = element("button", { type: "button", onclick: () => {
    const all = drawBars("Probabilities", "Class", rows, answer.label);
    replaceContent(box, element("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "All classes" }, all));
  } }, `Show all ${rows.length.toLocaleString("en")} classes`);
  box.append(button);
  return box;
}

/**
 * Return the fusion weights as one stacked bar, and weight and confidence of each modality.
 * @param {Answer} answer
 */
export function showModalities(answer) {
  const modalities = Object.entries(answer.modalities);
  const present = modalities.filter(([, each]) => each.present);
  const rows = modalities.map(([name, each]) =>
    element("tr", {},
      element("th", { scope: "row" }, name),
      element("td", { class: "number" }, each.present ? formatShare(each.weight) : "missing"),
      element("td", { class: "number" }, formatShare(each.confidence))));
  return element("div", {},
    element("h3", {}, "Fusion weights"),
    drawStack("Fusion weights", present.map(([name, each]) => [name, each.weight])),
    makeTable("How sure each modality is", ["Modality", "Weight", "Confidence"], rows));
}

/**
 * Return the contributions from the prior to the answer, and the answers without each modality and to it alone.
 * @param {Explanation} explanation @param {Answer} answer
 */
export function showExplanation(explanation, answer) {
  let level = explanation.prior;
  const names = Object.keys(explanation.contributions);
  const rows = [makeContribution("before any modality", 0, level)];
  for (const name of names) {
    const next = level + (explanation.contributions[name] ?? 0);
    rows.push(makeContribution(name, level, next));
    level = next;
  }
  rows.push(makeContribution("all together", 0, answer.probability));
  const parts = names.map((name) =>
    element("tr", {},
      element("th", { scope: "row" }, name),
      element("td", { class: "words" }, ...describePart(explanation.without[name])),
      element("td", { class: "words" }, ...describePart(explanation.alone[name]))));
  const sampled = explanation.method === "sampled"
    ? element("p", { class: "hint" }, "Contributions are estimated from sampled orders of the modalities.") : null;
  return element("div", {},
    makeTable(isolate`What each modality adds to “${answer.label}” (Shapley values)`, ["Modality", "", "Adds"], rows),
    sampled,
    makeTable("The answer without a modality, and to it alone", ["Modality", "Without it", "Alone"], parts));
}

/** @param {string} name @param {number} from @param {number} to */
function makeContribution(name, from, to) {
  const change = to - from;
  const sign = from === 0 || Math.abs(change) < 0.0005 ? "" : change < 0 ? "−" : "+";
  return element("tr", {},
    element("th", { scope: "row" }, name),
    element("td", { class: "bar" }, drawBar(from, to)),
    element("td", { class: "number" }, `${sign}${formatShare(Math.abs(change))}`));
}

/** @param {{ label: string, probability: number } | null | undefined} part */
function describePart(part) {
  return part ? isolate`${part.label} (${formatShare(part.probability)})` : ["no answer"];
}
