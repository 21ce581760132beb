// About: the report of the bundle, and its model card, which has the metrics by subset and class; else those of its manifest.

import { renderMarkdown } from "../about/markdown.js";
import { makeReport } from "../about/report.js";
import { formatShare, isolate } from "../element.js";
import { Problem } from "../requests.js";

/** @typedef {import("../types.d.ts").App} App */

const METRICS = /** @type {const} */ ([
  ["balanced_accuracy", "Balanced accuracy"], ["many", "Many"], ["medium", "Medium"], ["few", "Few"], ["accuracy", "Accuracy"],
]);

/** @type {import("../types.d.ts").Mount} */
export function mount(root, app) {
  const { element, schema, model } = app;
  const ended = new AbortController();
  const card = element("div", { class: "card" }, "Asking for the model card…");
  root.append(element("h2", {}, "About"),
    element("p", {}, ...isolate`${model.name}, version ${model.version}, on ${schema.runtime}, ${schema.device}`),
    makeReport(app, ended.signal), card);
  void showCard(app, card, ended.signal);
  return () => ended.abort();
}

/** @param {App} app @param {HTMLElement} place @param {AbortSignal} signal */
async function showCard(app, place, signal) {
  try {
    const text = await app.request(`/console/card.md?${new URLSearchParams(app.model)}`, { signal });
    if (String(text).trim() === "") throw new Problem({ detail: "the model card is empty" });
    place.replaceChildren(...renderMarkdown(String(text), 3));
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Problem)) throw error;
    place.replaceChildren(app.element("p", { class: "problem", role: "alert" }, error.message), makeMetrics(app));
  }
}

/** Return the metrics of each subset of modalities. @param {App} app */
function makeMetrics({ element, schema }) {
  const head = ["Subset", "Rows", ...METRICS.map(([, title]) => title)];
  return element("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": "Metrics by subset" },
    element("table", {}, element("thead", {}, element("tr", {}, ...head.map((title) => element("th", { scope: "col" }, title)))),
      element("tbody", {}, ...Object.entries(schema.metrics).map(([subset, metrics]) => element("tr", {},
        element("th", { scope: "row" }, subset.replaceAll("+", " + ")), element("td", { class: "number" }, metrics.rows),
        ...METRICS.map(([key]) => element("td", { class: "number" }, formatShare(metrics[key]))))))));
}
