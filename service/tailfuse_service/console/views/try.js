// Try: one sample, and what the model answers.

import { showExplanation, showHeadline, showModalities, showProbabilities } from "../answers.js";
import { isolate, replaceContent } from "../element.js";
import { makeField } from "../fields/field.js";
import { Latest } from "../latest.js";
import { predict } from "../predictions.js";
import { Problem } from "../requests.js";

/** @typedef {import("../types.d.ts").App} App */
/** @typedef {import("../types.d.ts").Answer} Answer */
/** @typedef {import("../fields/field.js").Field} Field */

const MAX_OPEN = 6; // fields that are open at first; a model may have 40 modalities

/** @type {import("../types.d.ts").Mount} */
export function mount(root, app) {
  const { element, schema, sample } = app;
  const modalities = Object.entries(schema.modalities);
  const fields = modalities.map(([name, modality], at) => makeField(name, modality, app, at < MAX_OPEN));
  const answer = element("div", { class: "panel" });
  const problem = element("p", { class: "problem", role: "alert" });
  const latest = new Latest();

  root.append(
    element("h2", {}, ...isolate`What is the ${schema.label}?`),
    makeExamples(app),
    element("div", { class: "columns" }, element("div", {}, ...fields.map((field) => field.node)),
      element("div", {}, problem, answer)));

  const update = (/** @type {string | null} */ changed) => {
    for (const field of fields) if (changed === null || changed === field.name) field.show();
    latest.run((signal) => ask(app, signal, answer, (found) => showProblem(found, fields, problem)));
  };
  const unsubscribe = sample.subscribe(update);
  const onPaste = (/** @type {ClipboardEvent} */ event) => paste(event, fields);
  document.addEventListener("paste", onPaste);
  update(null);
  return () => {
    unsubscribe();
    latest.stop();
    document.removeEventListener("paste", onPaste);
  };
}

/** Return a button for each example, and one that clears all. @param {App} app */
function makeExamples({ element, schema, sample, announce }) {
  const { examples, example_labels: labels, examples_are_rows: areRows } = schema;
  const buttons = examples.map((inputs, at) => {
    const label = labels[at];
    const title = !areRows ? ["Plausible values"] : label == null ? [`Row ${at + 1}`] : isolate`Row ${at + 1}: ${label}`;
    const button = element("button", { type: "button", onclick: () => {
      sample.replace(inputs);
      announce(`${button.textContent}: ${Object.keys(inputs).join(", ")}`);
    } }, ...title);
    return button;
  });
  const clear = element("button", { type: "button", onclick: () => sample.replace({}) }, "Clear");
  const told = areRows ? "Rows of the test split:"
    : "The bundle carries no rows (tailfuse export --examples adds some). Start with:";
  return element("div", { class: "row panel" }, element("span", {}, told), ...buttons, clear);
}

/**
 * Ask for the answer, then for its explanation, which takes longer.
 * @param {App} app @param {AbortSignal} signal @param {HTMLElement} box @param {(problem: Problem | null) => void} tell
 */
async function ask(app, signal, box, tell) {
  const { inputs, names } = app.sample;
  tell(null);
  if (!names.length) {
    box.replaceChildren(app.element("p", {}, "Fill in one modality or more: the answer comes at once. A missing modality is no error."));
    return;
  }
  try {
    const answer = await predict(app, inputs, signal);
    if (signal.aborted) return;
    const headline = showHeadline(answer);
    const explained = app.element("div", {}, app.element("p", { class: "hint" }, "Asking for the explanation…"));
    replaceContent(box, headline, showProbabilities(answer), showModalities(answer), explained);
    app.announce(`${answer.label}, ${(100 * answer.probability).toFixed(0)} percent`);
    await explain(app, signal, headline, explained);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    box.replaceChildren();
    tell(error);
  }
}

/** @param {App} app @param {AbortSignal} signal @param {HTMLElement} headline @param {HTMLElement} box */
async function explain(app, signal, headline, box) {
  try {
    const answer = await predict(app, app.sample.inputs, signal, { explain: true });
    if (signal.aborted || !answer.explanation) return;
    headline.replaceWith(showHeadline(answer));
    box.replaceChildren(showExplanation(answer.explanation, answer));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    box.replaceChildren(app.element("p", { class: "hint" }, `No explanation: ${error.message}`));
  }
}

/**
 * Show a problem beside the field that it names, else above the answer.
 * @param {Problem | null} found @param {Field[]} fields @param {HTMLElement} rest
 */
function showProblem(found, fields, rest) {
  const named = found?.modality == null ? undefined : fields.find((field) => field.name === found.modality);
  for (const field of fields) field.setProblem(field === named ? found : null);
  rest.textContent = found ? (named ? `No answer: see ${named.name}.` : found.message) : "";
}

/**
 * Give a pasted file to the field that has the focus, else to the first that takes files.
 * @param {ClipboardEvent} event @param {Field[]} fields
 */
function paste(event, fields) {
  const [file] = event.clipboardData?.files ?? [];
  const takers = fields.filter((field) => field.take);
  const taker = takers.find((field) => field.node.contains(document.activeElement)) ?? takers[0];
  if (!file || !taker?.take) return;
  event.preventDefault();
  taker.node.open = true;
  taker.take(file);
}
