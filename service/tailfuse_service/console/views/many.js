// Many: the rows of a table, or many images, are sent in batches; their answers are sorted, filtered and saved.

import { formatCount, formatShare, makeId, replaceContent } from "../element.js";
import { makeGrid } from "../grid.js";
import { runBatches } from "../many/batches.js";
import { TableError } from "../many/csv.js";
import { makeFilters } from "../many/filters.js";
import { ProgressBar } from "../many/progress.js";
import { NO_FILTER, makeResult, selectResults, writeResults } from "../many/results.js";
import { RowError, prepareRows } from "../many/rows.js";
import { shrinkImage } from "../many/shrink.js";
import { ACCEPT, nameFile, openImage, openSource } from "../many/source.js";
import { Thumbnails } from "../many/thumbnails.js";

/**
 * @typedef {import("../types.d.ts").App} App
 * @typedef {import("../many/source.js").Source} Source
 * @typedef {import("../many/results.js").Result} Result
 */

const REDRAW_MS = 250; // while answers arrive
const COLUMNS = [
  { key: "at", title: "Row", numeric: true },
  { key: "name", title: "File" },
  { key: "label", title: "Label" },
  { key: "probability", title: "Probability", numeric: true },
  { key: "conflict", title: "Conflict", numeric: true },
  { key: "problem", title: "Problem" },
];

/** @type {import("../types.d.ts").Mount} */
export function mount(root, app) {
  const many = new Many(root, app);
  return () => many.stop();
}

class Many {
  #scale; #app; #classes; #modalities; #grid; #plan; #progress; #count; #answers;
  /** @type {Source | null} */
  #source = null;
  /** @type {(Result | undefined)[]} */
  #results = [];
  #done = 0;
  /** @type {AbortController | null} */
  #run = null;
  #filter = { ...NO_FILTER };
  #redraw = 0;
  #thumbnails = new Thumbnails(async () => undefined);

  /** @param {HTMLElement} root @param {App} app */
  constructor(root, app) {
    const { element } = app;
    this.#app = app;
    this.#classes = app.schema.classes.map(({ name }) => name);
    this.#modalities = Object.keys(app.schema.modalities);
    this.#grid = makeGrid("Answers", COLUMNS, { key: "at", descending: false }, () => this.#show());
    this.#plan = element("div", { class: "plan" });
    this.#scale = /** @type {HTMLInputElement} */ (element("input", { type: "checkbox", checked: true }));
    this.#progress = element("div", { class: "progress" });
    this.#count = element("p", { class: "hint" });
    const filters = makeFilters(app, this.#classes, this.#filter, () => this.#show());
    this.#answers = element("div", { hidden: true }, filters, this.#count, this.#grid.node);
    root.append(element("h2", {}, "Many"), this.#makeChooser(), this.#plan, this.#progress, this.#answers);
  }

  /** Cancel what is running. */
  stop() {
    this.#run?.abort();
    this.#run = null;
    clearTimeout(this.#redraw);
  }

  #makeChooser() {
    const { element } = this.#app;
    const id = makeId();
    const input = /** @type {HTMLInputElement} */ (element("input", { type: "file", id, multiple: true, accept: ACCEPT }));
    input.addEventListener("change", () => void this.#choose([...(input.files ?? [])]));
    const drop = (/** @type {DragEvent} */ event) => {
      event.preventDefault();
      void this.#choose([...(event.dataTransfer?.files ?? [])]);
    };
    return element("div", { class: "drop", ondragover: (/** @type {Event} */ event) => event.preventDefault(), ondrop: drop },
      element("label", { for: id }, "Choose or drop a table (CSV, Parquet), images, or a ZIP of both"), input,
      element("p", { class: "hint" }, "A table has the columns of the training table. A column of images holds the paths of their files."));
  }

  /** @param {File[]} files */
  async #choose(files) {
    if (!files.length) return;
    this.stop();
    this.#source = null;
    this.#answers.hidden = true;
    this.#progress.replaceChildren();
    this.#plan.replaceChildren("Reading…");
    try {
      this.#source = await openSource(files, this.#app.schema.modalities);
      this.#showPlan(this.#source);
    } catch (error) {
      if (!(error instanceof TableError || error instanceof RowError)) throw error;
      this.#plan.replaceChildren(this.#app.element("p", { class: "problem", role: "alert" }, error.message));
    }
  }

  /** @param {Source} source */
  #showPlan(source) {
    const { element, announce } = this.#app;
    const rows = `${formatCount(source.count)} ${source.count === 1 ? "row" : "rows"}`;
    const button = element("button", { type: "button", onclick: () => void this.#start(source) }, `Classify ${rows}`);
    this.#plan.replaceChildren(element("p", {}, `${source.title}: ${rows}`),
      ...source.warnings.map((warning) => element("p", { class: "warning" }, warning)),
      source.imageColumn === undefined ? "" : element("p", {}, element("label", {}, this.#scale, " Scale large images before they are sent")),
      button);
    announce([`${rows} read`, ...source.warnings].join(". "));
    button.focus();
  }

  /** @param {Source} source */
  async #start(source) {
    const run = new AbortController();
    this.#run = run;
    const hadFocus = [this.#plan, this.#progress].some((each) => each.contains(document.activeElement));
    this.#results = new Array(source.count);
    this.#done = 0;
    this.#thumbnails = new Thumbnails((at) => openImage(source, at));
    this.#plan.replaceChildren();
    this.#answers.hidden = false;
    const bar = new ProgressBar(this.#app, source.count, () => run.abort());
    this.#progress.replaceChildren(bar.node);
    if (hadFocus) bar.focus();
    this.#show();
    let end = "Done";
    try {
      await this.#ask(source, run.signal, bar);
    } catch (error) {
      end = run.signal.aborted ? "Cancelled" : `Stopped: ${/** @type {Error} */ (error).message}`;
    }
    if (this.#run === run) this.#finish(source, end); // else other files were chosen meanwhile
  }

  /** @param {Source} source @param {AbortSignal} signal @param {ProgressBar} bar */
  #ask(source, signal, bar) {
    const { request, modelPath, schema } = this.#app;
    const makeInputs = prepareRows(schema.modalities, source.findFile, (blob, name) => this.#prepareFile(blob, name));
    const path = modelPath("/predict/batch");
    return runBatches({
      count: source.count,
      limits: schema.limits,
      makeItem: async (at) => JSON.stringify({ inputs: await makeInputs(source.row(at)) }),
      post: (body, abort) => request(path, { method: "POST", body, signal: abort }),
      onResult: (at, answer) => {
        if (signal.aborted) return;
        this.#results[at] = makeResult(at, nameFile(source, at), answer, this.#classes, this.#modalities);
        this.#done += 1;
        bar.update(this.#done);
        this.#redraw ||= window.setTimeout(() => this.#show(), REDRAW_MS);
      },
      signal,
    });
  }

  /** @param {Blob} blob @param {string} name */
  #prepareFile(blob, name) {
    const modality = this.#app.schema.modalities[name];
    const shrinks = modality?.kind === "image" && !modality.deep && this.#scale.checked;
    return shrinks ? shrinkImage(blob, modality) : Promise.resolve(blob);
  }

  /** @param {Source} source @param {string} end */
  #finish(source, end) {
    const { element, announce } = this.#app;
    this.#run = null;
    this.#show();
    const problems = this.#listKnown().filter((result) => result.problem !== null).length;
    const text = `${end}: ${formatCount(this.#done)} of ${formatCount(source.count)} rows, ${formatCount(problems)} with a problem`;
    replaceContent(this.#progress,
      element("p", { class: end === "Done" ? null : "warning" }, text),
      element("div", { class: "row" },
        element("button", { type: "button", onclick: () => this.#download() }, "Download as CSV"),
        element("button", { type: "button", onclick: () => void this.#start(source) }, "Classify again")));
    announce(text);
  }

  #listKnown() {
    return this.#results.filter((result) => result !== undefined);
  }

  #show() {
    clearTimeout(this.#redraw);
    this.#redraw = 0;
    const sort = /** @type {import("../many/results.js").Sort} */ (this.#grid.sort);
    const order = selectResults(this.#results, this.#filter, sort);
    this.#count.textContent = `${formatCount(order.length)} of ${formatCount(this.#done)} answers`;
    this.#grid.show(order.length, (at) => this.#makeCells(/** @type {Result} */ (this.#results[Number(order[at])])));
  }

  /** @param {Result} result */
  #makeCells(result) {
    const { element } = this.#app;
    const image = this.#source?.imageColumn === undefined ? null : this.#thumbnails.make(result.at);
    return [
      formatCount(result.at + 1),
      element("span", { class: "file", title: result.name }, image, ` ${result.name}`),
      result.label ?? "–", formatShare(result.probability), formatShare(result.conflict), result.problem ?? "",
    ];
  }

  #download() {
    const { element, model } = this.#app;
    const lines = [...writeResults(this.#listKnown(), this.#classes, this.#modalities)];
    const url = URL.createObjectURL(new Blob(lines, { type: "text/csv;charset=utf-8" }));
    element("a", { href: url, download: `${model.name}-${model.version}-answers.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000); // the browser has read it by then
  }
}
