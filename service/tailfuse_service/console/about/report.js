// The report of the bundle, in a frame whose policy lets no script of it run.

import { Problem } from "../requests.js";

/** @typedef {import("../types.d.ts").App} App */

const FRAME = new URL("frame.html", import.meta.url).pathname;

/**
 * Return the report, which is asked for when it is first opened; where it is not shared, a hint.
 * @param {App} app @param {AbortSignal} signal
 */
export function makeReport(app, signal) {
  const { element, schema } = app;
  if (!schema.shares_report)
    return element("p", { class: "hint" }, "The full report, report.html, is in the bundle's folder. It may show rows of the table: start the service with --share-report to see it here.");
  const place = element("div", {}, element("p", { class: "hint" }, "Asking for the report…"));
  const box = element("details", { class: "panel" }, element("summary", {}, "The full report"), place);
  box.addEventListener("toggle", () => void showReport(app, place, signal), { once: true });
  return box;
}

/** @param {App} app @param {HTMLElement} place @param {AbortSignal} signal */
async function showReport(app, place, signal) {
  try {
    const html = String(await app.request(`/console/report.html?${new URLSearchParams(app.model)}`, { signal }));
    const frame = /** @type {HTMLIFrameElement} */ (app.element("iframe", {
      class: "report", title: "Report", sandbox: "allow-same-origin", src: FRAME,
    }));
    frame.addEventListener("load", () => writeReport(frame, html), { once: true });
    place.replaceChildren(frame);
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Problem)) throw error;
    place.replaceChildren(app.element("p", { class: "problem", role: "alert" }, error.message));
  }
}

/**
 * Write the report into its frame: the only markup that the console takes from a bundle, where no script runs.
 * @param {HTMLIFrameElement} frame @param {string} html
 */
function writeReport(frame, html) {
  const root = frame.contentDocument?.documentElement;
  if (root) root.innerHTML = html;
  // No style sees that the focus is in a frame.
  for (const type of ["focus", "blur"])
    frame.contentWindow?.addEventListener(type, () => frame.classList.toggle("focused", type === "focus"));
}
