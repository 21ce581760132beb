// Lines over time, as a drawing that scales with the page.

import { drawing, element } from "../element.js";

const WIDTH = 300, HEIGHT = 60;

/**
 * @typedef {{ name: string, values: (number | null)[] }} Line
 */

/**
 * Return a chart with its latest values as text. Screen readers get the text only.
 * @param {{ title: string, metric: string, lines: Line[], format: (value: number | null) => string }} chart
 */
export function makeChart({ title, metric, lines, format }) {
  const known = lines.flatMap((line) => line.values).filter((value) => value !== null);
  const top = Math.max(...known, 0) || 1;
  const latest = lines.map((line, at) => element("li", {},
    lines.length > 1 ? element("span", { class: `swatch tone-${at}`, "aria-hidden": "true" }) : null,
    `${line.name} ${format(line.values.at(-1) ?? null)}`.trim()));
  return element("figure", { class: "chart" },
    element("figcaption", {}, title, " ", element("code", {}, metric)),
    drawing("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      ...lines.map((line, at) => drawing("path", { d: makePath(line.values, top), class: `tone-${at}` }))),
    element("ul", { class: "legend" }, ...latest, element("li", { class: "hint" }, `scale to ${format(top)}`)));
}

/**
 * Return the path of a line, with gaps where a value is missing; the latest value is at the right.
 * @param {(number | null)[]} values @param {number} top
 */
export function makePath(values, top) {
  const step = WIDTH / Math.max(values.length - 1, 1);
  let move = true;
  return values.map((value, at) => {
    if (value === null) {
      move = true;
      return "";
    }
    const point = `${move ? "M" : "L"}${(at * step).toFixed(1)} ${(HEIGHT - 2 - ((HEIGHT - 4) * value) / top).toFixed(1)}`;
    move = false;
    return point;
  }).join("");
}
