// What the view Watch makes of /metrics: its text, rates, quantiles, and the figures of a version.

import assert from "node:assert/strict";
import { test } from "node:test";

const CONSOLE = new URL("../../../service/tailfuse_service/console/", import.meta.url);
const load = (name) => import(new URL(name, CONSOLE));
const { findFamily, findSeries, parseExposition, sumSeries } = await load("watch/exposition.js");
const { History, computeMean, computeRate, countIncrease, estimateQuantile } = await load("watch/history.js");
const { readClasses, readInputDrift, readModalities, readShadow } = await load("watch/model_figures.js");
const { makePath } = await load("watch/chart.js");

const near = (value, expected) => assert.ok(Math.abs(value - expected) < 1e-9, `${value}, expected ${expected}`);

test("help, type, labels with escapes and special numbers are read", () => {
  const text = [
    "# HELP a_total Two\\nlines \\\\ and a bar.",
    "# TYPE a_total counter",
    'a_total{label="x\\"y\\\\z\\n{},=",version="1"} 2.0',
    'a_total{label="",version="2"} +Inf 1700000000000',
    "# TYPE b histogram",
    'b_bucket{le="+Inf"} 3', "b_sum NaN", "b_count 3",
    "alone 1e-3", "# a comment", "broken line {", "",
  ].join("\n");
  const found = parseExposition(text);
  assert.equal(findFamily(found, "a_total").help, "Two\nlines \\ and a bar.");
  assert.equal(findFamily(found, "a_total").type, "counter");
  assert.equal(findSeries(found, "a_total", { label: 'x"y\\z\n{},=' })[0].value, 2);
  assert.equal(sumSeries(found, "a_total"), Infinity);
  assert.equal(sumSeries(found, "a_total", { version: /^1$/ }), 2);
  assert.equal(sumSeries(found, "a_total", { version: "3" }), null);
  assert.equal(findFamily(found, "b_bucket").type, "histogram");
  assert.ok(Number.isNaN(sumSeries(found, "b_sum")));
  assert.equal(sumSeries(found, "alone"), 0.001);
  assert.equal(sumSeries(found, "nothing"), null);
});

test("a counter that begins again after a restart has grown by its value", () => {
  assert.equal(countIncrease(5, 8), 3);
  assert.equal(countIncrease(8, 5), 5);
  assert.equal(countIncrease(null, 5), 5);
  assert.equal(countIncrease(5, null), null);
  const scrape = (at, value) => ({ at, exposition: parseExposition(`n_total{route="/predict"} ${value}\nn_total{route="/x"} 9`) });
  assert.equal(computeRate(scrape(0, 10), scrape(2, 30), "n_total", { route: /predict/ }), 10);
  assert.equal(computeRate(scrape(0, 10), scrape(0, 30), "n_total", {}), null);
});

const histogram = (low, middle, all, sum) => parseExposition([
  `s_bucket{le="0.1"} ${low}`, `s_bucket{le="1.0"} ${middle}`, `s_bucket{le="+Inf"} ${all}`, `s_sum ${sum}`, `s_count ${all}`,
].join("\n"));

test("means and quantiles are those between two scrapes", () => {
  const before = histogram(10, 10, 10, 1), after = histogram(10, 20, 20, 6);
  near(computeMean(before, after, "s"), 0.5);
  near(estimateQuantile(before, after, "s", 0.5), 0.55);
  near(estimateQuantile(before, after, "s", 1), 1);
  assert.equal(estimateQuantile(after, after, "s", 0.5), null);
  assert.equal(computeMean(after, after, "s"), null);
  near(estimateQuantile(after, histogram(4, 4, 4, 0.2), "s", 0.5), 0.05); // after a restart
  assert.equal(estimateQuantile(before, histogram(10, 10, 20, 50), "s", 0.5), 1); // above the last edge
});

test("the figures of a version are its own, beside their references", () => {
  const labels = 'model="m",version="1"';
  const make = (n) => parseExposition([
    `tailfuse_samples_total{${labels},subset="a+b"} ${n}`, `tailfuse_samples_total{${labels},subset="a"} ${n}`,
    `tailfuse_samples_total{model="m",version="2",subset="a"} 500`,
    `tailfuse_modality_present_total{${labels},modality="b"} ${n}`,
    `tailfuse_fusion_weight_sum{${labels},modality="b"} ${0.25 * n}`, `tailfuse_fusion_weight_count{${labels},modality="b"} ${n}`,
    `tailfuse_reference_weight{${labels},modality="b"} 0.4`,
    `tailfuse_input_drift{${labels},modality="b",input="x"} 0.1`, `tailfuse_input_drift{${labels},modality="b",input="y"} 0.3`,
    `tailfuse_predictions_total{${labels},label="cat"} ${3 * n}`, `tailfuse_predictions_total{${labels},label="dog"} ${n}`,
    `tailfuse_class_training_share{${labels},label="cat",shot="many"} 0.9`,
    `tailfuse_class_training_share{${labels},label="dog",shot="few"} 0.1`,
    `tailfuse_shadow_samples_total{${labels},subset="a",outcome="agree"} 7`, `tailfuse_shadow_samples_total{${labels},subset="b",outcome="agree"} 1`,
    `tailfuse_shadow_disagreements_total{${labels},label="cat",shadow_label="dog"} 2`,
  ].join("\n"));
  const version = { model: "m", version: "1" };
  const [a, b] = readModalities(make(10), make(30), version, ["a", "b"]);
  near(b.values.tailfuse_modality_present_total, 0.5);
  near(b.values.tailfuse_fusion_weight, 0.25);
  assert.equal(b.values.tailfuse_reference_weight, 0.4);
  assert.equal(a.values.tailfuse_fusion_weight, null);
  assert.deepEqual(readInputDrift(make(1), version).map(({ input }) => input), ["y", "x"]);
  assert.deepEqual(readClasses(make(10), make(20), version), [
    { label: "cat", shot: "many", training: 0.9, predicted: 0.75, count: 30 },
    { label: "dog", shot: "few", training: 0.1, predicted: 0.25, count: 10 },
  ]);
  assert.deepEqual(readShadow(make(1), version), {
    outcomes: new Map([["agree", 8]]), pairs: [{ label: "cat", shadow: "dog", count: 2 }],
  });
});

test("the history keeps five minutes, and whole scrapes half a minute apart", () => {
  const history = new History();
  for (let step = 0; step < 400; step += 1) {
    history.add({ at: 2 * step, exposition: new Map([["step", step]]) }, (before, after) => ({ gone: after.at - before.at }));
  }
  assert.equal(history.line("gone").length, 150);
  assert.equal(history.line("gone").at(-1), 2);
  assert.equal(history.oldest.at, 510); // 780 is the newest of ten
  assert.deepEqual(history.line("other"), []);
});

test("a line has a gap where a value is missing", () => {
  assert.equal(makePath([0, null, 1], 1), "M0.0 58.0M300.0 2.0");
  assert.equal(makePath([], 1), "");
});
