// The versions of a model side by side: how many samples each has answered, and how sure it was of them.

import { element, formatCount, formatShare, isolate } from "../element.js";
import { explain } from "./meaning.js";
import { VERSION_METRICS, readShadow, readVersion } from "./model_figures.js";

/**
 * @typedef {import("./exposition.js").Exposition} Exposition
 * @typedef {{ version: string, role: string }} VersionRole
 */

const MAX_PAIRS = 10; // of labels upon which a shadow disagrees

/**
 * Return the table of the versions that have a role, and what a shadow disagrees upon; null for fewer than two.
 * @param {Exposition} before @param {Exposition} now @param {string} model @param {VersionRole[]} versions
 */
export function makeVersions(before, now, model, versions) {
  const shown = versions.filter(({ role }) => role !== "none");
  if (shown.length < 2) return null;
  const figures = shown.map(({ version }) => readVersion(before, now, { model, version }));
  const answered = shown.reduce((sum, { role }, at) => sum + (role === "shadow" ? 0 : figures[at]?.tailfuse_samples_total ?? 0), 0);
  const rows = VERSION_METRICS.map((metric) => element("tr", {}, element("th", { scope: "row" }, ...explain(now, metric)),
    ...figures.map((each, at) => element("td", { class: "number" },
      formatFigure(metric, each[metric] ?? null, shown[at]?.role === "shadow" ? 0 : answered)))));
  const heads = shown.map(({ version, role }) => element("th", { scope: "col", class: "number" }, ...isolate`${version} (${role})`));
  const shadow = shown.find(({ role }) => role === "shadow");
  return element("section", {}, element("h4", {}, ...isolate`Versions of ${model}`),
    element("table", { class: "figures" }, element("caption", { class: "unseen" }, ...isolate`Versions of ${model} by role`),
      element("thead", {}, element("tr", {}, element("td"), ...heads)), element("tbody", {}, ...rows)),
    shadow ? describeShadow(now, { model, version: shadow.version }) : null);
}

/** @param {string} metric @param {number | null} value @param {number} total */
function formatFigure(metric, value, total) {
  if (value === null) return "–";
  if (metric === "tailfuse_expert_disagreement") return value.toFixed(3); // in bits
  if (metric !== "tailfuse_samples_total") return formatShare(value);
  return total ? `${formatCount(value)} (${formatShare(value / total)})` : formatCount(value);
}

/** @param {Exposition} exposition @param {{ model: string, version: string }} version */
function describeShadow(exposition, version) {
  const { outcomes, pairs } = readShadow(exposition, version);
  const counts = [...outcomes].map(([outcome, count]) => `${outcome} ${formatCount(count)}`).join(", ") || "none yet";
  return element("div", {}, element("h4", {}, ...isolate`Shadow ${version.model} ${version.version}`),
    element("p", {}, ...explain(exposition, "tailfuse_shadow_samples_total"), " ", element("strong", {}, counts)),
    element("p", {}, ...explain(exposition, "tailfuse_shadow_disagreements_total")),
    element("ul", {}, ...pairs.slice(0, MAX_PAIRS).map(({ label, shadow, count }) =>
      element("li", {}, ...isolate`${label} → ${shadow}: ${formatCount(count)}`))));
}
