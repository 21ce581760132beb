// Bars, a stacked bar and lines. Every drawing has its numbers beside it as text.

import { drawing, element, formatShare, isolate } from "./element.js";

/** @typedef {import("./types.d.ts").Child} Child */

const TONES = 8;
const WIDTH = 480, HEIGHT = 200, LEFT = 40, BOTTOM = 24, TOP = 8;

/** @param {number} at */
export function chooseTone(at) {
  return `tone-${at % TONES}`;
}

/**
 * Return a bar of 0..1, from `from` to `to`; one to the left is drawn as a loss.
 * @param {number} from @param {number} to
 */
export function drawBar(from, to) {
  const bar = element("span", { class: to < from ? "less" : "" });
  bar.style.left = `${100 * Math.max(0, Math.min(from, to))}%`;
  bar.style.width = `${100 * Math.min(1, Math.abs(to - from))}%`;
  return element("span", { class: "track", "aria-hidden": "true" }, bar);
}

/**
 * Return a table of shares with a bar each.
 * @param {string} caption @param {string} head @param {[string, number][]} rows @param {string} [chosen]
 */
export function drawBars(caption, head, rows, chosen) {
  const body = rows.map(([label, share]) =>
    element("tr", { class: label === chosen ? "chosen" : "" },
      element("th", { scope: "row" }, label),
      element("td", { class: "bar" }, drawBar(0, share)),
      element("td", { class: "number" }, formatShare(share))));
  return makeTable(caption, [head, "", "Probability"], body);
}

/**
 * Return a table; an empty head is that of a column of bars.
 * @param {string | Child[]} caption @param {(string | Child[])[]} heads @param {Node[]} rows
 */
export function makeTable(caption, heads, rows) {
  const cells = heads.map((head, at) =>
    head ? element("th", { scope: "col", class: at ? "number" : "" }, ...[head].flat())
      : element("td", {}));
  return element("table", {}, element("caption", {}, ...[caption].flat()),
    element("thead", {}, element("tr", {}, ...cells)), element("tbody", {}, ...rows));
}

/**
 * Return one stacked bar of shares, with a legend that has their numbers.
 * @param {string} name @param {[string, number][]} parts
 */
export function drawStack(name, parts) {
  const bar = element("div", { class: "stack", "aria-hidden": "true" });
  const legend = element("ul", { class: "legend", "aria-label": name });
  parts.forEach(([label, share], at) => {
    const part = element("span", { class: chooseTone(at) });
    part.style.width = `${100 * share}%`;
    bar.append(part);
    const swatch = element("span", { class: `swatch ${chooseTone(at)}`, "aria-hidden": "true" });
    legend.append(element("li", {}, swatch, ...isolate`${label} ${formatShare(share)}`));
  });
  return element("div", {}, bar, legend);
}

/** @typedef {{ label: string | Child[], points: [number, number][] }} Line */

/**
 * Return lines over x, with a legend. `y` are the lowest and the highest value drawn.
 * @param {string} name @param {string} xName @param {Line[]} lines
 * @param {{ x: [number, number], y: [number, number], format?: (value: number) => string }} axes
 */
export function drawLines(name, xName, lines, { x, y, format = formatShare }) {
  /** @param {number} value */
  const toX = (value) => LEFT + ((value - x[0]) / (x[1] - x[0] || 1)) * (WIDTH - LEFT);
  /** @param {number} value */
  const toY = (value) => HEIGHT - BOTTOM - ((value - y[0]) / (y[1] - y[0] || 1)) * (HEIGHT - BOTTOM - TOP);
  const svg = drawing("svg", { class: "lines", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": name });
  for (const value of [y[0], (y[0] + y[1]) / 2, y[1]])
    svg.append(
      drawing("line", { x1: LEFT, x2: WIDTH, y1: toY(value), y2: toY(value) }),
      drawing("text", { x: LEFT - 4, y: toY(value) + 4, "text-anchor": "end" }, format(value).replace(".0 %", " %")));
  svg.append(drawing("text", { x: WIDTH, y: HEIGHT - 4, "text-anchor": "end" }, xName));
  const legend = element("ul", { class: "legend" });
  lines.forEach(({ label, points }, at) => {
    const path = points.map(([px, py], step) => `${step ? "L" : "M"}${toX(px).toFixed(1)} ${toY(py).toFixed(1)}`);
    svg.append(drawing("path", { class: chooseTone(at), d: path.join("") }));
    const swatch = element("span", { class: `swatch ${chooseTone(at)}`, "aria-hidden": "true" });
    legend.append(element("li", {}, swatch, ...[label].flat()));
  });
  return element("div", {}, svg, legend);
}
