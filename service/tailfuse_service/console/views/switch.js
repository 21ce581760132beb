// Switch: the answers to subsets of the sample's modalities side by side, and the request as programs write it.

import { drawBar, makeTable } from "../charts.js";
import { formatShare, isolate, replaceContent } from "../element.js";
import { Latest } from "../latest.js";
import { predictAll } from "../predictions.js";
import { Problem } from "../requests.js";
import { makeSnippets, shorten } from "../snippets.js";
import { listSubsets, nameSubset } from "../subsets.js";

/** @typedef {import("../types.d.ts").App} App */
/** @typedef {import("../types.d.ts").Answer} Answer */
/** @typedef {import("../types.d.ts").Inputs} Inputs */
/** @typedef {import("../types.d.ts").Child} Child */

/** @type {import("../types.d.ts").Mount} */
export function mount(root, app) {
  const { element, sample } = app;
  root.append(element("h2", {}, "Switch modalities off"));
  const { names } = sample;
  if (!names.length) {
    root.append(element("p", {}, "There is no sample yet. ", element("a", { href: "#try" }, "Try one"), " first."));
    return () => {};
  }
  /** @type {Set<string>} */
  const on = new Set(names);
  const table = element("div", { class: "panel" }), snippets = element("div", { class: "panel" });
  const problem = element("p", { class: "problem", role: "alert" });
  const latest = new Latest();
  const switches = names.map((name) => {
    const flip = () => {
      if (!on.delete(name)) on.add(name);
      update();
    };
    return element("label", {}, element("input", { type: "checkbox", role: "switch", checked: true, onchange: flip }), ` ${name}`);
  });

  function update() {
    const chosen = names.filter((name) => on.has(name));
    showSnippets(app, pick(sample.inputs, chosen), snippets);
    latest.run(async (signal) => {
      problem.textContent = "";
      try {
        await showTable(app, names, chosen, signal, table);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        problem.textContent = error.message;
      }
    });
  }

  root.append(
    element("fieldset", { class: "panel row" }, element("legend", {}, "Modalities of the sample"), ...switches),
    problem, table, snippets);
  update();
  return () => latest.stop();
}

/**
 * Return the inputs of some modalities.
 * @param {Inputs} inputs @param {string[]} names
 */
function pick(inputs, names) {
  return Object.fromEntries(Object.entries(inputs).filter(([name]) => names.includes(name)));
}

/**
 * Show the answers to the subsets; that of the switches is marked, and is first if it is none of the others.
 * @param {App} app @param {string[]} names @param {string[]} chosen @param {AbortSignal} signal @param {HTMLElement} box
 */
async function showTable(app, names, chosen, signal, box) {
  const subsets = listSubsets(names);
  const key = JSON.stringify(chosen);
  const isListed = subsets.some((subset) => JSON.stringify(subset) === key);
  if (!isListed && chosen.length) subsets.unshift(chosen);
  const answers = await predictAll(app, subsets.map((subset) => pick(app.sample.inputs, subset)), signal);
  if (signal.aborted) return;
  const whole = answers[subsets.findIndex((subset) => subset.length === names.length)];
  const label = whole instanceof Problem ? undefined : whole?.label;
  const rows = subsets.map((subset, at) => {
    const isChosen = JSON.stringify(subset) === key;
    const title = isListed || !isChosen ? nameSubset(subset, names) : [`the ${subset.length} that are on`];
    return makeRow(app, title, answers[at], label, isChosen);
  });
  const told = chosen.length ? [] : [app.element("p", {}, "Every modality is off: there is nothing to answer.")];
  box.replaceChildren(...told, makeTable("Answers to subsets", ["Modalities sent", "Answer", "", "Probability", "Weights"], rows));
  const found = answers[subsets.findIndex((subset) => JSON.stringify(subset) === key)];
  if (found && !(found instanceof Problem)) app.announce(`${found.label}, ${formatShare(found.probability)}`);
}

/**
 * @param {App} app @param {Child[]} title @param {Answer | Problem | undefined} answer
 * @param {string | undefined} label @param {boolean} isChosen
 */
function makeRow({ element }, title, answer, label, isChosen) {
  const head = element("th", { scope: "row" }, ...title, isChosen ? element("span", { class: "unseen" }, " (switched on)") : null);
  const props = { class: isChosen ? "chosen" : "" };
  if (!answer || answer instanceof Problem)
    return element("tr", props, head, element("td", { colspan: 4, class: "problem" }, answer?.message ?? ""));
  const weights = Object.entries(answer.modalities).filter(([, each]) => each.present)
    .sort((a, b) => b[1].weight - a[1].weight).slice(0, 3)
    .flatMap(([name, each], at) => [at ? ", " : "", ...isolate`${name} ${formatShare(each.weight)}`]);
  const isSame = label === undefined || answer.label === label;
  return element("tr", props, head,
    element("td", { class: "words" }, answer.label, isSame ? null : element("span", { class: "problem" }, " ≠")),
    element("td", { class: "bar" }, drawBar(0, answer.probability)),
    element("td", { class: "number" }, formatShare(answer.probability)),
    element("td", { class: "words weights" }, ...weights));
}

/**
 * Show the request in several languages, with long files cut; the buttons copy all of it.
 * @param {App} app @param {Inputs} inputs @param {HTMLElement} box
 */
function showSnippets(app, inputs, box) {
  const { element } = app;
  const url = new URL(app.modelPath("/predict").replace(/^\//, ""), new URL("../../../", import.meta.url)).href;
  const whole = makeSnippets(url, inputs, app.hasKey());
  const blocks = makeSnippets(url, shorten(inputs), app.hasKey()).map(([title, text], at) => {
    const copy = element("button", { type: "button", "aria-label": `Copy the request in ${title}`, onclick: () => copyText(app, title, whole[at]?.[1] ?? "", copy) }, "Copy");
    return element("details", { open: at === 0 }, element("summary", {}, title), element("div", { class: "row" }, copy),
      element("pre", { tabindex: 0, role: "group", "aria-label": `The request in ${title}` }, text));
  });
  replaceContent(box, element("h3", {}, "The request"),
    element("p", { class: "hint" }, "Long files are cut here; a copy has all of them."), ...blocks);
}

/** @param {App} app @param {string} title @param {string} text @param {HTMLElement} button */
async function copyText(app, title, text, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    app.announce(`The request in ${title} is copied`);
  } catch {
    // Without https, a browser has no clipboard but that of a selection.
    const area = /** @type {HTMLTextAreaElement} */ (app.element("textarea", { rows: 8, readonly: true, value: text, "aria-label": `The whole request in ${title}` }));
    button.after(area);
    area.select();
    app.announce("Copy the selected text");
  }
}
