// What the view Many does without a browser: tables, rows, batches, results.

import assert from "node:assert/strict";
import { test } from "node:test";

const CONSOLE = new URL("../../../service/tailfuse_service/console/", import.meta.url);
const load = (name) => import(new URL(name, CONSOLE));
const { findSeparator, formatCell, formatCsvLine, parseCsv } = await load("many/csv.js");
const { RowError, checkColumns, prepareRows } = await load("many/rows.js");
const { runBatches } = await load("many/batches.js");
const { NO_FILTER, makeResult, selectResults, writeResults } = await load("many/results.js");
const { openSource } = await load("many/source.js");

const MODALITIES = {
  image: { kind: "image", column: "image" },
  clinical: {
    kind: "tabular",
    missing: ["NA"],
    columns: [{ name: "age" }, { name: "site", categories: ["back", "NA"] }],
  },
  notes: { kind: "text", columns: ["title", "review"] },
  pulse: { kind: "series", columns: ["pulse"] },
};
const noFile = async () => undefined;
const cells = (text, separator) => [...parseCsv(text, separator)].map((row) => row.cells);

test("quotes, line ends and blank lines are those of RFC 4180", () => {
  const text = 'a,b\r\n"x, ""y""\nz", 1 \n\n,\r"last"';
  assert.deepEqual(cells(text), [["a", "b"], ['x, "y"\nz', "1"], ["", ""], ["last"]]);
  assert.deepEqual([...parseCsv(text)].map((row) => row.line), [1, 2, 5, 6]);
  assert.deepEqual(cells("a;b,c", ";"), [["a", "b,c"]]);
  assert.deepEqual(cells("a\n"), [["a"]]);
  assert.deepEqual(cells(""), []);
  assert.deepEqual(cells('a"b,"c"'), [['a"b', "c"]]);
});

test("a broken quote is an error of its line", () => {
  assert.throws(() => cells('a\n"b'), /line 2: a quoted cell has no closing quote/);
  assert.throws(() => cells('a\n\n"b"c'), /line 3: 'c' follows a closing quote/);
});

test("the separator is the one that gives most of the model's columns", () => {
  const wanted = new Set(["age", "site"]);
  assert.equal(findSeparator("age;site,x\n", wanted), ";");
  assert.equal(findSeparator("age\tsite\n", wanted), "\t");
  assert.equal(findSeparator("age,site\n", wanted), ",");
  assert.equal(findSeparator("x;y\n", wanted), ",");
  assert.equal(findSeparator('"broken', wanted), ",");
});

test("no cell of a download is a formula", () => {
  for (const cell of ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0", "-", "+a"]) {
    assert.match(formatCell(cell), /^"?'/, cell);
  }
  for (const cell of ["-1", "+2.5", "-1e-3", "a=1", "5"]) assert.equal(formatCell(cell), cell);
  assert.equal(formatCsvLine(['a"b', "c,d", null, 0.5, "e\nf"]), '"a""b","c,d",,0.5,"e\nf"\r\n');
});

test("a row becomes the inputs that the Python client makes of it", async () => {
  const makeInputs = prepareRows(MODALITIES, async (path) => (path === "a.png" ? new Blob(["png"]) : undefined));
  const inputs = await makeInputs({ image: "a.png", age: "NA", site: "NA", title: "", review: "5", pulse: "[1, 2]" });
  assert.deepEqual(JSON.parse(JSON.stringify(inputs)), {
    image: "cG5n",
    clinical: { age: null, site: "NA" },
    notes: { title: null, review: "5" },
    pulse: [1, 2],
  });
  await assert.rejects(makeInputs({ image: "b.png" }), /column 'image': 'b.png' is not among the chosen files/);
  await assert.rejects(makeInputs({ pulse: "[1," }), /column 'pulse': the list is not valid JSON/);
  await assert.rejects(makeInputs({ image: "NA", title: null }), RowError);
});

test("typed cells of Parquet keep their values", async () => {
  const makeInputs = prepareRows(MODALITIES, noFile);
  const image = { bytes: new Uint8Array([112, 110, 103]), path: "a.png" };
  const inputs = await makeInputs({ image, age: 7n, pulse: new Float32Array([1, NaN]), title: new Uint8Array([104, 105]) });
  assert.deepEqual(JSON.parse(JSON.stringify(inputs)), {
    image: "cG5n",
    clinical: { age: 7, site: null },
    notes: { title: "hi", review: null },
    pulse: [1, null],
  });
  assert.equal(JSON.parse(JSON.stringify(await makeInputs({ age: 2n ** 60n }))).clinical.age, String(2n ** 60n));
  await assert.rejects(makeInputs({ age: Infinity }), /column 'age': Infinity is not a finite number/);
});

test("names that JavaScript's objects have are plain columns", async () => {
  const odd = JSON.parse('{"__proto__": {"kind": "tabular", "columns": [{"name": "constructor"}]}}');
  const row = Object.assign(Object.create(null), { constructor: "1" });
  assert.equal(JSON.stringify(await prepareRows(odd, noFile)(row)), '{"__proto__":{"constructor":"1"}}');
});

test("what a table lacks is said, and one without any column of the model is refused", () => {
  assert.deepEqual(checkColumns(["image", "age", "title", "review", "pulse"], MODALITIES), [
    "modality 'clinical': the table has no column 'site'; its cells count as missing",
  ]);
  assert.equal(checkColumns(["age"], MODALITIES).length, 4);
  assert.throws(() => checkColumns(["Age"], MODALITIES), /no column of this model; expected 'image', .*, got 'Age'/);
});

/** Run batches against a service that answers with each item's own number. */
async function run({ count = 150, makeItem = async (at) => JSON.stringify(at), post, limits = { max_items: 256 }, signal }) {
  const results = new Map();
  const sizes = [];
  const answer = (body) => ({ results: JSON.parse(body).items.map((item) => ({ label: String(item) })) });
  await runBatches({
    count, limits, makeItem,
    post: async (body, abort) => {
      sizes.push(JSON.parse(body).items.length);
      return (post ?? answer)(body, abort, answer);
    },
    onResult: (at, result) => results.set(at, result),
    signal: signal ?? new AbortController().signal,
  });
  return { results, sizes };
}

test("every row gets its own answer, in batches of the service's size", async () => {
  const { results, sizes } = await run({ limits: { max_items: 40 } });
  assert.deepEqual(sizes.toSorted((a, b) => a - b), [30, 40, 40, 40]);
  for (const [at, result] of results) assert.equal(result.label, String(at));
  assert.equal(results.size, 150);
});

test("a row that cannot be sent gets a problem, and its neighbours their answers", async () => {
  const makeItem = async (at) => {
    if (at === 3) throw new RowError("bad");
    return JSON.stringify(at);
  };
  const { results } = await run({ count: 5, makeItem });
  assert.deepEqual([...results.keys()].toSorted(), [0, 1, 2, 3, 4]);
  assert.equal(results.get(3).detail, "bad");
  assert.equal(results.get(4).label, "4");
});

test("a batch that is too large is halved, a single row that is too large has a problem", async () => {
  const post = (body, _, answer) => {
    const { items } = JSON.parse(body);
    if (items.length > 2 || items.includes(4)) throw Object.assign(new Error("too large"), { status: 413 });
    return answer(body);
  };
  const { results } = await run({ count: 6, post });
  assert.equal(results.get(4).detail, "too large");
  for (const at of [0, 1, 2, 3, 5]) assert.equal(results.get(at).label, String(at));
});

test("a busy service is asked again, another failure ends the run", async () => {
  let refusals = 2;
  const post = (body, _, answer) => {
    if (refusals-- > 0) throw Object.assign(new Error("busy"), { status: 429, retryAfterS: 0 });
    return answer(body);
  };
  assert.equal((await run({ count: 3, post })).results.size, 3);
  const fail = () => {
    throw Object.assign(new Error("unknown key"), { status: 401 });
  };
  await assert.rejects(run({ post: fail }), /unknown key/);
  await assert.rejects(run({ count: 3, post: () => ({ results: [{}] }) }), /answered 1 of 3 rows/);
});

test("a cancelled run sends nothing more", async () => {
  const stop = new AbortController();
  let posts = 0;
  const post = (body, _, answer) => {
    posts += 1;
    stop.abort();
    return answer(body);
  };
  await assert.rejects(run({ count: 10_000, post, signal: stop.signal }), { name: "AbortError" });
  assert.ok(posts <= 2, `${posts} requests`);
});

const CLASSES = ["nv", "mel"];
const answer = (label, probability, conflict) => ({
  label, probability, conflict, probabilities: { [label]: probability },
  modalities: { image: { present: true, weight: 1, confidence: 0.5 }, notes: { present: false, weight: 0, confidence: null } },
});
const RESULTS = [
  makeResult(0, "b.png", answer("nv", 0.9, 0.1), CLASSES, ["image", "notes"]),
  makeResult(1, "a.png", { detail: "bad", status: 422 }, CLASSES, ["image", "notes"]),
  makeResult(2, "", answer("mel", 0.4, null), CLASSES, ["image", "notes"]),
];

test("results are filtered and sorted, missing values last in both directions", () => {
  const select = (filter, key = "at", descending = false) => selectResults(RESULTS, { ...NO_FILTER, ...filter }, { key, descending });
  assert.deepEqual(select({}), [0, 1, 2]);
  assert.deepEqual(select({}, "probability"), [2, 0, 1]);
  assert.deepEqual(select({}, "probability", true), [0, 2, 1]);
  assert.deepEqual(select({}, "conflict", true), [0, 1, 2]);
  assert.deepEqual(select({}, "label"), [2, 0, 1]);
  assert.deepEqual(select({ label: " ME" }), [2]);
  assert.deepEqual(select({ minConfidence: 0.5 }), [0]);
  assert.deepEqual(select({ maxConfidence: 0.5 }), [2]);
  assert.deepEqual(select({ minConflict: 0.05 }), [0]);
  assert.deepEqual(select({ onlyProblems: true }), [1]);
  assert.deepEqual(selectResults([undefined, RESULTS[2]], NO_FILTER, { key: "at", descending: false }), [1]);
});

test("the download has the columns of tailfuse call, and the file's name", () => {
  assert.deepEqual([...writeResults(RESULTS, CLASSES, ["image", "notes"])].map((line) => line.trimEnd()), [
    "row,file,label,probability,probability.nv,probability.mel,weight.image,confidence.image,weight.notes,confidence.notes,conflict,problem",
    "1,b.png,nv,0.9,0.9,,1,0.5,0,,0.1,",
    "2,a.png,,,,,,,,,,bad",
    "3,,mel,0.4,,0.4,1,0.5,0,,,",
  ]);
});

const file = (name, content) => new File([content], name);

test("a table is refused in words where it is doubtful", async () => {
  const open = (...files) => openSource(files, MODALITIES);
  await assert.rejects(open(file("t.csv", "age,age\n1,2")), /two columns 'age'/);
  await assert.rejects(open(file("t.csv", new Uint8Array([97, 103, 101, 10, 0xe9]))), /not UTF-8/);
  await assert.rejects(open(file("t.csv", "age\n")), /no rows/);
  await assert.rejects(open(file("a.csv", "age\n1"), file("b.csv", "age\n1")), /one table at a time; got 'a.csv', 'b.csv'/);
  await assert.rejects(open(file("a.txt", "x")), /neither a table nor an image/);
  await assert.rejects(open(file("a.zip", "not a zip")), /'a.zip' is not a ZIP/);
  await assert.rejects(open(file("a.parquet", "PAR1nothing")), /Parquet file cannot be read/);
  await assert.rejects(openSource([file("a.png", "x")], { notes: MODALITIES.notes }), /reads no images/);
  const source = await open(file("t.csv", "\ufeffage,site\n1,back\n2\n"));
  assert.equal(source.row(0).age, "1");
  assert.throws(() => source.row(1), /line 3: 1 values, expected 2/);
});

test("a file is found by its path, else by its name where only one has it", async () => {
  const files = [file("t.csv", "image\nphotos/a.png\n.\\b.png\n"), file("a.png", "A"), file("b.png", "B")];
  const source = await openSource(files, MODALITIES);
  assert.equal(await (await source.findFile("photos/a.png")).text(), "A");
  assert.equal(await (await source.findFile(".\\b.png")).text(), "B");
  assert.equal(await source.findFile("c.png"), undefined);
  const twins = await openSource([file("x.png", "1"), file("x.png", "2")], MODALITIES);
  await assert.rejects(twins.findFile("dir/x.png"), /fits 2 of the chosen files/);
});
