// Parse the text that GET /metrics answers with (Prometheus' format 0.0.4).

/**
 * @typedef {{ labels: Map<string, string>, value: number }} Series
 * @typedef {{ name: string, help: string, type: string, series: Map<string, Series[]> }} Family by the series' names
 * @typedef {Map<string, Family>} Exposition
 * @typedef {Record<string, string | RegExp>} Labels
 */

const LINE = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: -?\d+)?$/;
const LABEL = /([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)",? ?/gy;
const SUFFIX = /_(?:bucket|sum|count|created)$/;

/**
 * Return the families by name. A line that is not understood is left out, as Prometheus' format may grow.
 * @param {string} text
 * @returns {Exposition}
 */
export function parseExposition(text) {
  /** @type {Exposition} */
  const families = new Map();
  const find = (/** @type {string} */ name) => {
    const known = families.get(name);
    if (known) return known;
    const made = { name, help: "", type: "untyped", series: new Map() };
    families.set(name, made);
    return made;
  };
  for (const line of text.split("\n")) {
    const comment = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line);
    if (comment) {
      const family = find(String(comment[2]));
      if (comment[1] === "HELP") family.help = unescape(String(comment[3]));
      else family.type = String(comment[3]);
      continue;
    }
    const found = LINE.exec(line);
    if (!found) continue;
    const name = String(found[1]);
    const family = families.get(name) ?? families.get(name.replace(SUFFIX, "")) ?? find(name);
    const series = { labels: parseLabels(found[2] ?? ""), value: parseNumber(String(found[3])) };
    const known = family.series.get(name);
    if (known) known.push(series);
    else family.series.set(name, [series]);
  }
  return families;
}

/** @param {string} text @returns {Map<string, string>} */
function parseLabels(text) {
  return new Map([...text.matchAll(LABEL)].map((label) => [String(label[1]), unescape(String(label[2]))]));
}

/** @param {string} text */
function unescape(text) {
  return text.replace(/\\(.)/g, (_, each) => (each === "n" ? "\n" : each));
}

/** @param {string} text */
function parseNumber(text) {
  return Number(text.replace(/^([+-]?)Inf$/, "$1Infinity"));
}

/**
 * Return the series of a name that have all these labels: a text as it is, or one that a pattern fits.
 * @param {Exposition} exposition @param {string} name @param {Labels} [labels]
 */
export function findSeries(exposition, name, labels = {}) {
  const wanted = Object.entries(labels);
  const series = findFamily(exposition, name)?.series.get(name) ?? [];
  return series.filter((each) => wanted.every(([key, value]) => fits(each.labels.get(key) ?? "", value)));
}

/** @param {string} label @param {string | RegExp} wanted */
function fits(label, wanted) {
  return typeof wanted === "string" ? label === wanted : wanted.test(label);
}

/**
 * Return the family of a series' name.
 * @param {Exposition} exposition @param {string} name
 */
export function findFamily(exposition, name) {
  return exposition.get(name) ?? exposition.get(name.replace(SUFFIX, ""));
}

/**
 * Return the sum of the series of a name that have all these labels; null if there is none.
 * @param {Exposition} exposition @param {string} name @param {Labels} [labels]
 */
export function sumSeries(exposition, name, labels = {}) {
  const series = findSeries(exposition, name, labels);
  return series.length ? series.reduce((sum, each) => sum + each.value, 0) : null;
}
