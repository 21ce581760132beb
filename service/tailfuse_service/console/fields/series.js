// The field of a time series: a file or typed numbers, drawn as lines.

import { drawLines } from "../charts.js";
import { element } from "../element.js";
import { encodeBase64 } from "../images.js";
import { parseSteps, readSteps } from "../steps.js";
import { formatNumber } from "./tabular.js";

/** @typedef {import("../types.d.ts").SeriesModality} SeriesModality */

const MAX_CHANNELS = 8, MAX_POINTS = 400; // drawn

/**
 * @param {string} name @param {SeriesModality} modality @param {(value: unknown) => void} give
 * @returns {import("./field.js").Control}
 */
export function makeSeriesField(name, modality, give) {
  const told = element("p", { class: "hint", role: "status" });
  const chart = element("div");
  const n = modality.channels.length;
  const chooser = /** @type {HTMLInputElement} */ (element("input", { type: "file", accept: ".npy,.wav,.csv,.json,text/csv,application/json,audio/wav", "aria-label": `File of ${name}`, onchange: choose }));
  const area = /** @type {HTMLTextAreaElement} */ (element("textarea", { rows: 3, oninput: type, "aria-label": `Values of ${name}`, spellcheck: "false" }));
  const box = element("div", { class: "drop", ondragover: (/** @type {Event} */ event) => event.preventDefault(), ondrop: drop },
    element("p", {}, `Choose or drop a .npy, .wav, .csv or JSON file, or type: a line for each time step, ${n} ${n > 1 ? "values with commas between them" : "value"} each.`),
    chooser, area);

  async function choose() {
    if (chooser.files?.[0]) await take(chooser.files[0]);
  }

  /** @param {DragEvent} event */
  function drop(event) {
    event.preventDefault();
    const [file] = event.dataTransfer?.files ?? [];
    if (file) void take(file);
  }

  /** @param {File} file */
  async function take(file) {
    area.value = "";
    const encoded = await encodeBase64(file);
    draw(encoded, file.name);
    give(encoded);
  }

  function type() {
    chooser.value = "";
    const text = area.value.trim();
    // The service reads the typed text as the file that it would be.
    const value = text === "" ? undefined : (parseSteps(text) ?? encodeText(text));
    draw(value, "");
    give(value);
  }

  /** @param {unknown} value @param {string} title */
  function draw(value, title) {
    const steps = value === undefined ? null : readSteps(value, modality);
    if (value === undefined) told.textContent = "";
    else if (steps === null) told.textContent = `${title} cannot be drawn here; it is sent as it is.`;
    else told.textContent = `${title ? `${title}: ` : ""}${steps.length.toLocaleString("en")} steps of ${steps[0]?.length ?? 0} channels`;
    chart.replaceChildren(...(steps?.length ? [drawSteps(name, steps, modality.columns)] : []));
  }

  return {
    node: element("div", {}, box, chart, told),
    show(value) {
      chooser.value = "";
      area.value = "";
      draw(value, "");
    },
  };
}

/** @param {string} text */
function encodeText(text) {
  return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(""));
}

/**
 * Return the lines of the first channels, with at most MAX_POINTS steps each.
 * @param {string} name @param {(number | null)[][]} steps @param {string[]} columns
 */
export function drawSteps(name, steps, columns) {
  const stride = Math.ceil(steps.length / MAX_POINTS);
  const shown = steps.filter((_, at) => at % stride === 0);
  const channels = Math.min(MAX_CHANNELS, steps[0]?.length ?? 0);
  const lines = Array.from({ length: channels }, (_, channel) => ({
    label: columns.length > 1 ? columns[channel] ?? "" : channels > 1 ? `channel ${channel + 1}` : name,
    points: shown.flatMap((step, at) => {
      const value = step[channel];
      return typeof value === "number" && Number.isFinite(value) ? [/** @type {[number, number]} */ ([at * stride, value])] : [];
    }),
  }));
  const values = lines.flatMap(({ points }) => points.map(([, value]) => value));
  const y = /** @type {[number, number]} */ (values.length ? [Math.min(...values), Math.max(...values)] : [0, 1]);
  return drawLines(`Time series ${name}`, "time step", lines, { x: [0, steps.length - 1], y, format: formatNumber });
}
