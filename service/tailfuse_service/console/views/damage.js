// Damage: a slider for each modality. Its weight falls, and the answer holds as long as the others carry it.

import { drawStack, drawLines, makeTable } from "../charts.js";
import { DAMAGES, prepareDamage } from "../damage.js";
import { formatShare, isolate, lookUp, replaceContent } from "../element.js";
import { drawPreview } from "../fields/image.js";
import { drawSteps } from "../fields/series.js";
import { decodeBase64 } from "../images.js";
import { Latest } from "../latest.js";
import { predict, predictAll } from "../predictions.js";
import { Problem } from "../requests.js";
import { readSteps } from "../steps.js";

/** @typedef {import("../types.d.ts").App} App */
/** @typedef {import("../types.d.ts").Answer} Answer */
/** @typedef {import("../types.d.ts").Modality} Modality */
/** @typedef {{ name: string, node: HTMLElement, drawn: Latest, strength: () => number, damage: (strength?: number) => Promise<unknown> }} Slider */

const STRENGTHS = Array.from({ length: 11 }, (_, at) => at / 10);

/** @type {import("../types.d.ts").Mount} */
export function mount(root, app) {
  const { element, sample, schema } = app;
  root.append(element("h2", {}, "Damage a modality"));
  const { names } = sample;
  if (!names.length) {
    root.append(element("p", {}, "There is no sample yet. ", element("a", { href: "#try" }, "Try one"), " first."));
    return () => {};
  }
  const answers = element("div", { class: "panel" }), curve = element("div", { class: "panel" });
  const problem = element("p", { class: "problem", role: "alert" });
  const now = new Latest(), over = new Latest();
  const modalities = Object.entries(schema.modalities).filter(([name]) => names.includes(name));
  const sliders = modalities.map(([name, modality]) => makeSlider(app, name, modality, () => update(name)));

  /** @param {string} changed */
  function update(changed) {
    const slider = sliders.find((each) => each.name === changed);
    now.run(trackBusy(answers, (signal) => report(problem, () => showAnswers(app, sliders, signal, answers))));
    if (slider) over.run(trackBusy(curve, (signal) => report(problem, () => showCurve(app, sliders, slider, signal, curve))), 400);
  }

  root.append(
    element("p", { class: "hint" }, "The damage is done in the browser, always in the same way for the same strength. Images are scaled down first."),
    problem,
    element("div", { class: "columns" }, element("div", { class: "stays" }, ...sliders.map((slider) => slider.node)),
      element("div", {}, answers, curve)));
  update(names[0] ?? "");
  return () => {
    for (const each of [now, over, ...sliders.map((slider) => slider.drawn)]) each.stop();
  };
}

/**
 * Mark a box as busy until the newest task for it is done: until then it shows the answers to another strength.
 * @param {HTMLElement} box @param {(signal: AbortSignal) => Promise<void>} task
 * @returns {(signal: AbortSignal) => Promise<void>}
 */
function trackBusy(box, task) {
  box.setAttribute("aria-busy", "true");
  return async (signal) => {
    try {
      await task(signal);
    } finally {
      if (!signal.aborted) box.removeAttribute("aria-busy");
    }
  };
}

/** Run a task; show the problem that it raises. @param {HTMLElement} box @param {() => Promise<void>} task */
async function report(box, task) {
  box.textContent = "";
  try {
    await task();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    box.textContent = error.message;
  }
}

/**
 * Make the slider of a modality, with a picture of what is left of it.
 * @param {App} app @param {string} name @param {Modality} modality @param {() => void} changed
 * @returns {Slider}
 */
function makeSlider(app, name, modality, changed) {
  const { element, sample, schema } = app;
  const value = sample.get(name);
  const kinds = DAMAGES[modality.kind] ?? [];
  const choices = kinds.map(([kind, title]) => element("option", { value: kind }, title));
  const kind = /** @type {HTMLSelectElement} */ (element("select", { "aria-label": `Damage to ${name}`, onchange: choose }, ...choices));
  const range = /** @type {HTMLInputElement} */ (element("input", { type: "range", min: 0, max: 100, step: 1, value: 0, "aria-valuetext": "0 percent", "aria-label": `Strength of the damage to ${name}`, oninput: move }));
  // The slider's own text is what a screen reader says.
  const shown = element("span", { "aria-hidden": "true" }, "0 %"), preview = element("div"), told = element("p", { class: "hint" });
  const drawn = new Latest();
  let ready = prepare();

  function prepare() {
    return prepareDamage(value, modality, kind.value, lookUp(schema.reference, name)).then((damage) => {
      told.textContent = damage ? "" : "The browser cannot read this file, so it stays as it is.";
      range.disabled = damage === null;
      return damage;
    });
  }

  function choose() {
    ready = prepare();
    move();
  }

  function move() {
    range.setAttribute("aria-valuetext", `${range.value} percent`);
    shown.textContent = `${range.value} %`;
    draw();
    changed();
  }

  function draw() {
    drawn.run(trackBusy(preview, async (signal) => showValue(app, name, modality, await damage(), signal, preview)), 0);
  }

  const strength = () => Number(range.value) / 100;

  /** @param {number} [wanted] */
  async function damage(wanted = strength()) {
    const prepared = await ready;
    return prepared ? prepared(wanted) : value;
  }

  const node = element("section", { class: "panel", "aria-label": name }, element("h3", {}, name),
    element("div", { class: "row" }, kinds.length > 1 ? kind : kinds[0]?.[1], shown), range, told, preview);
  draw();
  return { name, node, drawn, strength, damage };
}

/**
 * Show what is left of a value.
 * @param {App} app @param {string} name @param {Modality} modality @param {unknown} value
 * @param {AbortSignal} signal @param {HTMLElement} box
 */
async function showValue({ element }, name, modality, value, signal, box) {
  /** @type {(Node | null)[]} */
  let nodes = [];
  if (modality.kind === "image") {
    const bytes = typeof value === "string" ? decodeBase64(value) : null;
    nodes = [bytes && (await drawPreview(new Blob([bytes]), name))];
  } else if (modality.kind === "series") {
    const steps = readSteps(value, modality);
    nodes = [steps?.length ? drawSteps(name, steps, modality.columns) : null];
  } else if (modality.kind === "text") {
    const texts = typeof value === "object" && value ? Object.values(value) : [value];
    nodes = [element("p", { class: "scroll" }, texts.map((text) => text ?? "").join(" · ") || "nothing is left")];
  }
  if (!signal.aborted) box.replaceChildren(...nodes.filter((node) => node !== null));
}

/**
 * Return the sample with each modality damaged as its slider says; one that is left nothing is missing.
 * @param {Slider[]} sliders @param {(slider: Slider) => number} strength
 */
async function damageAll(sliders, strength) {
  const entries = await Promise.all(sliders.map(async (slider) => [slider.name, await slider.damage(strength(slider))]));
  return Object.fromEntries(entries.filter(([, value]) => value != null));
}

/**
 * Show the answer to the intact sample beside that to the damaged one.
 * @param {App} app @param {Slider[]} sliders @param {AbortSignal} signal @param {HTMLElement} box
 */
async function showAnswers(app, sliders, signal, box) {
  const { element } = app;
  const left = await damageAll(sliders, (slider) => slider.strength());
  if (!Object.keys(left).length) {
    box.replaceChildren(element("p", {}, "Nothing is left of the sample."));
    return;
  }
  const [intact, damaged] = await Promise.all([
    damageAll(sliders, () => 0).then((inputs) => predict(app, inputs, signal)), predict(app, left, signal),
  ]);
  if (signal.aborted) return;
  const holds = damaged.label === intact.label;
  const probability = formatShare(damaged.probability);
  const verdict = holds ? isolate`The answer holds: ${damaged.label}, ${probability}.`
    : isolate`The answer was ${intact.label}, and is now ${damaged.label} (${probability}).`;
  const rows = sliders.map(({ name }) =>
    element("tr", {}, element("th", { scope: "row" }, name),
      ...["weight", "confidence"].map((what) => {
        const [before, after] = [intact, damaged].map(({ modalities }) =>
          formatShare(modalities[name]?.[/** @type {"weight" | "confidence"} */ (what)]));
        return element("td", { class: "words" }, `${before} → ${after}`);
      })));
  const verdictLine = element("p", {}, ...verdict);
  box.replaceChildren(
    element("p", { class: "headline" }, damaged.label), verdictLine,
    element("h3", {}, "Fusion weights, intact"), drawWeights("Weights of the intact sample", sliders, intact),
    element("h3", {}, "Fusion weights, damaged"), drawWeights("Weights of the damaged sample", sliders, damaged),
    makeTable("Before and after", ["Modality", "Weight", "Confidence"], rows));
  app.announce(verdictLine.textContent ?? "");
}

/** @param {string} title @param {Slider[]} sliders @param {Answer} answer */
function drawWeights(title, sliders, answer) {
  return drawStack(title, sliders.map(({ name }) => [name, answer.modalities[name]?.weight ?? 0]));
}

/**
 * Draw weight, confidence and the intact answer's probability over the strength of one modality's damage.
 * @param {App} app @param {Slider[]} sliders @param {Slider} moved @param {AbortSignal} signal @param {HTMLElement} box
 */
async function showCurve(app, sliders, moved, signal, box) {
  const { element } = app;
  const samples = [];
  for (const strength of STRENGTHS) {
    samples.push(await damageAll(sliders, (slider) => (slider === moved ? strength : slider.strength())));
    if (signal.aborted) return;
  }
  const kept = samples.flatMap((inputs, at) => (Object.keys(inputs).length ? [{ inputs, strength: STRENGTHS[at] ?? 0 }] : []));
  const answers = await predictAll(app, kept.map(({ inputs }) => inputs), signal);
  const found = answers.flatMap((answer, at) =>
    answer instanceof Problem ? [] : [{ answer, strength: kept[at]?.strength ?? 0 }]);
  const failed = answers.find((answer) => answer instanceof Problem);
  if (signal.aborted) return;
  if (!found.length) throw failed ?? new Problem({ detail: "nothing is left of the sample at any strength" });
  const label = found[0]?.answer.label ?? "";
  /** @param {(answer: Answer) => number} read @returns {[number, number][]} */
  const trace = (read) => found.map(({ answer, strength }) => [strength, read(answer)]);
  // A node is in one place, and the names stand in two.
  const makeLabels = () => [isolate`weight of ${moved.name}`, isolate`confidence of ${moved.name}`, isolate`probability of ${label}`];
  const [weight = [], confidence = [], probability = []] = makeLabels();
  const lines = [
    { label: weight, points: trace((answer) => answer.modalities[moved.name]?.weight ?? 0) },
    { label: confidence, points: trace((answer) => answer.modalities[moved.name]?.confidence ?? 0) },
    { label: probability, points: trace((answer) => answer.probabilities[label] ?? 0) },
  ];
  const rows = found.map(({ strength }, at) =>
    element("tr", {}, element("th", { scope: "row" }, formatShare(strength)),
      ...lines.map(({ points }) => element("td", { class: "number" }, formatShare(points[at]?.[1])))));
  const isOpen = box.querySelector("details")?.open ?? false;
  replaceContent(box,
    element("h3", {}, ...isolate`Over the strength of the damage to ${moved.name}`),
    drawLines(`Weight and confidence of ${moved.name}, and probability of ${label}, over the strength`, "strength", lines, { x: [0, 1], y: [0, 1] }),
    element("details", { open: isOpen }, element("summary", {}, "The numbers"),
      makeTable(isolate`Damage to ${moved.name}`, ["Strength", ...makeLabels()], rows)));
}
