// Watch: the service's own metrics, live. Names and meanings are those that /metrics states.

import { formatCount, formatShare, isolate } from "../element.js";
import { compareValues, makeGrid } from "../grid.js";
import { Problem } from "../requests.js";
import { makeChart } from "../watch/chart.js";
import { parseExposition, sumSeries } from "../watch/exposition.js";
import { History, computeRate, estimateQuantile } from "../watch/history.js";
import { describe, explain } from "../watch/meaning.js";
import { MODALITY_METRICS, readClasses, readInputDrift, readModalities } from "../watch/model_figures.js";
import { ModelsPanel } from "../watch/models_panel.js";

/**
 * @typedef {import("../types.d.ts").App} App
 * @typedef {import("../watch/exposition.js").Exposition} Exposition
 * @typedef {import("../watch/history.js").Scrape} Scrape
 */

const PAUSE_MS = 2000; // between an answer of /metrics and the next question
const MODELS_MS = 10_000;
const MAX_DRIFTS = 10; // of inputs; those that drift most
const PREDICTIONS = /predict|infer/i;
const CLASS_COLUMNS = [
  { key: "label", title: "Class" }, { key: "shot", title: "Shots" },
  { key: "training", title: "In training", numeric: true }, { key: "predicted", title: "Predicted", numeric: true },
  { key: "count", title: "Samples", numeric: true },
];
/** What is drawn: a metric and its lines, each with its name in the history. */
const CHARTS = [
  { metric: "tailfuse_requests_total", unit: "/s", lines: { ok: "2xx", refused: "4xx", failed: "5xx" } },
  { metric: "tailfuse_request_seconds", unit: " ms", lines: { p50: "p50", p99: "p99" } },
  { metric: "tailfuse_queue_depth", unit: "", lines: { queue: "" } },
  { metric: "tailfuse_requests_in_flight", unit: "", lines: { flight: "" } },
];

/** The state of the service's processes, as single numbers. */
const STATES = ["tailfuse_ready", "tailfuse_workers", "tailfuse_worker_restarts_total"];

/** @type {import("../types.d.ts").Mount} */
export function mount(root, app) {
  const watch = new Watch(root, app);
  void watch.run();
  return () => watch.stop();
}

class Watch {
  #app; #charts; #states; #modalities; #drift; #classes; #models; #status; #pause;
  #history = new History();
  /** @type {Exposition | null} */
  #now = null;
  #ended = new AbortController();
  #isPaused = false;
  #nextModels = 0;

  /** @param {HTMLElement} root @param {App} app */
  constructor(root, app) {
    const { element, model } = app;
    this.#app = app;
    this.#charts = element("div", { class: "charts" });
    this.#states = element("ul", { "aria-label": "State of the service" });
    this.#modalities = element("div", { class: "scroll", role: "region", "aria-label": "Modalities", tabindex: 0 });
    this.#drift = element("div");
    this.#classes = makeGrid("Classes", CLASS_COLUMNS, { key: "training", descending: false }, () => this.#showClasses());
    this.#models = new ModelsPanel(app);
    this.#status = element("p", { class: "hint" }, "Asking for the metrics…");
    this.#pause = element("button", { type: "button", "aria-pressed": "false", onclick: () => this.#toggle() }, "Pause");
    root.append(element("h2", {}, "Watch"), element("div", { class: "row" }, this.#pause, this.#status), this.#charts, this.#states,
      element("h3", {}, ...isolate`Modalities of ${model.name} ${model.version}`), this.#modalities, this.#drift,
      element("h3", {}, "Classes"), this.#classes.node, this.#models.node);
  }

  stop() {
    this.#ended.abort();
  }

  /** Ask again and again. The next question waits for the answer, and for the page to be visible. */
  async run() {
    while (!this.#ended.signal.aborted) {
      if (!document.hidden && !this.#isPaused) await this.#scrape();
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  #toggle() {
    this.#isPaused = !this.#isPaused;
    this.#pause.setAttribute("aria-pressed", String(this.#isPaused));
    this.#status.textContent = this.#isPaused ? "Paused" : "Asking for the metrics…";
  }

  async #scrape() {
    try {
      const text = String(await this.#app.request("/metrics", { signal: this.#ended.signal }));
      const scrape = { at: performance.now() / 1000, exposition: parseExposition(text) };
      this.#history.add(scrape, measure);
      this.#now = scrape.exposition;
      this.#show(scrape.exposition);
      if (performance.now() >= this.#nextModels) {
        this.#nextModels = performance.now() + MODELS_MS;
        await this.#models.refresh();
      }
      this.#models.showVersions(this.#history.oldest?.exposition ?? scrape.exposition, scrape.exposition);
      this.#status.textContent = `As of ${new Date().toLocaleTimeString()}; shares and means are those of the last five minutes on this page`;
    } catch (error) {
      if (this.#ended.signal.aborted) return;
      if (!(error instanceof Problem)) throw error;
      this.#status.textContent = error.status === 404
        ? "The metrics are not at this address; the service may have --metrics-port" : error.message;
    }
  }

  /** @param {Exposition} now */
  #show(now) {
    this.#charts.replaceChildren(...CHARTS.map(({ metric, unit, lines }) => makeChart({
      title: describe(now, metric), metric,
      lines: Object.entries(lines).map(([key, name]) => ({ name, values: this.#history.line(key) })),
      format: (value) => (value === null ? "–" : formatNumber(value) + unit),
    })));
    this.#showStates(now);
    this.#showModalities(now);
    this.#showClasses();
  }

  /** @param {Exposition} now */
  #showStates(now) {
    const { element } = this.#app;
    const known = STATES.filter((metric) => sumSeries(now, metric) !== null);
    this.#states.replaceChildren(...known.map((metric) =>
      element("li", {}, ...explain(now, metric), " ", element("strong", {}, sumSeries(now, metric)))));
  }

  /** @param {Exposition} now */
  #showModalities(now) {
    const { element, schema, model } = this.#app;
    const version = { model: model.name, version: model.version };
    const figures = readModalities(this.#history.oldest?.exposition ?? now, now, version, Object.keys(schema.modalities));
    const rows = MODALITY_METRICS.map((metric) => element("tr", {},
      element("th", { scope: "row" }, ...explain(now, metric)),
      ...figures.map(({ values }) => element("td", { class: "number" }, formatFigure(metric, values[metric] ?? null)))));
    this.#modalities.replaceChildren(element("table", { class: "figures" },
      element("caption", { class: "unseen" }, "Modalities and their references"),
      element("thead", {}, element("tr", {}, element("td"),
        ...figures.map(({ modality }) => element("th", { scope: "col", class: "number" }, modality)))),
      element("tbody", {}, ...rows)));
    const drifts = readInputDrift(now, version).slice(0, MAX_DRIFTS);
    const metric = "tailfuse_input_drift";
    this.#drift.replaceChildren(element("p", {}, ...explain(now, metric),
      drifts.length ? null : ": no value yet"),
    element("ul", {}, ...drifts.map(({ modality, input, value }) =>
      element("li", {}, ...isolate`${modality}, ${input}: ${value.toFixed(3)}`))));
  }

  #showClasses() {
    const now = this.#now;
    if (!now) return;
    const { element, model } = this.#app;
    const version = { model: model.name, version: model.version };
    const { descending } = this.#classes.sort;
    const key = /** @type {keyof import("../watch/model_figures.js").ClassFigures} */ (this.#classes.sort.key);
    const classes = readClasses(this.#history.oldest?.exposition ?? now, now, version)
      .sort((a, b) => compareValues(a[key], b[key], descending));
    this.#classes.show(classes.length, (at) => {
      const each = classes[at];
      if (!each) return [];
      const shot = each.shot === "few" ? element("strong", {}, each.shot) : each.shot;
      return [each.label, shot, formatShare(each.training), formatShare(each.predicted), formatCount(each.count)];
    });
  }
}

/**
 * Return the numbers of the lines.
 * @param {Scrape} before @param {Scrape} after
 */
function measure(before, after) {
  const rate = (/** @type {RegExp} */ status) => computeRate(before, after, "tailfuse_requests_total", { route: PREDICTIONS, status });
  const quantile = (/** @type {number} */ share) => {
    const seconds = estimateQuantile(before.exposition, after.exposition, "tailfuse_request_seconds", share, { route: PREDICTIONS });
    return seconds === null ? null : 1000 * seconds;
  };
  return {
    ok: rate(/^2/), refused: rate(/^4/), failed: rate(/^5/), p50: quantile(0.5), p99: quantile(0.99),
    queue: sumSeries(after.exposition, "tailfuse_queue_depth"),
    flight: sumSeries(after.exposition, "tailfuse_requests_in_flight"),
  };
}

/** @param {string} metric @param {number | null} value */
function formatFigure(metric, value) {
  if (value === null) return "–";
  if (metric === "tailfuse_drift_rows") return formatCount(value);
  return metric === "tailfuse_weight_drift" ? value.toFixed(3) : formatShare(value);
}

/** Return a measured number with three digits. @param {number} value */
function formatNumber(value) {
  return value.toLocaleString("en", { maximumSignificantDigits: 3 });
}
