/** What is sent, how often, and what becomes of the reply. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Client, NoAnswer, Problem } from "tailfuse-client";

import { ANSWER, BREAK, CUT, SILENT, makeProblem, startServer } from "./scripted_server.js";

const BUSY = makeProblem(429, "overloaded", { "retry-after": "0" });
const UNREADY = makeProblem(503, "not-ready", { "retry-after": "0" });

async function ask(test, inputs, options, clientOptions, replies) {
  const server = await startServer(test, replies);
  const answer = await new Client(server.url, clientOptions).predict(inputs, options);
  return { answer, request: server.requests[0] };
}

test("values are JSON; what is missing is null or left out", async (t) => {
  const inputs = {
    clinical: { age: 61, pulse: NaN, site: undefined, smoker: false },
    motion: [new Float32Array([1, 2]), new Float64Array([NaN, 4])],
    shape: new Int16Array([1, -2]),
    notes: "a\u2028é",
    image: null,
    sound: undefined,
  };
  const { request } = await ask(t, inputs);
  assert.equal(request.headers["content-type"], "application/json");
  assert.deepEqual(JSON.parse(Buffer.from(request.body, "latin1").toString()), {
    inputs: {
      clinical: { age: 61, pulse: null, site: null, smoker: false },
      motion: [[1, 2], [null, 4]],
      shape: [1, -2],
      notes: "a\u2028é",
    },
  });
});

for (const [name, value] of [
  ["Infinity", { age: Infinity }],
  ["-Infinity", [-Infinity]],
  ["bigint", 5n],
  ["Map", new Map([["age", 61]])],
  ["Date", { taken: new Date() }],
  ["function", () => 1],
  ["Promise", Promise.resolve("x")],
  ["DataView", new DataView(new ArrayBuffer(2))],
  ["Blob", { column: new Blob(["x"]) }],
]) {
  test(`a value that JSON would change is refused by its modality's name: ${name}`, async (t) => {
    const { url, requests } = await startServer(t);
    await assert.rejects(new Client(url).predict({ clinical: value }), {
      name: "TypeError",
      message: new RegExp(`^modality 'clinical': .*${name}`),
    });
    assert.equal(requests.length, 0);
  });
}

for (const [name, inputs] of [
  ["Map", new Map([["notes", "x"]])],
  ["Array", [{ notes: "x" }]],
  ["string", "x"],
  ["null", null],
]) {
  test(`a sample that is no object by modality is refused: ${name}`, async (t) => {
    const { url, requests } = await startServer(t);
    const expected = { name: "TypeError", message: `expected an object of values by modality, got ${name}` };
    await assert.rejects(new Client(url).predict(inputs), expected);
    await assert.rejects(collect(new Client(url).predictBatch([inputs])), expected);
    assert.equal(requests.length, 0);
  });
}

for (const path of ["lesion.jpg", "./a/lesion.PNG", "C:\\scans\\1 2.npy", "./my scans/1.tif", "/data/notes.txt"]) {
  test(`a path that is sent as a text is refused: ${path}`, async (t) => {
    const { url } = await startServer(t);
    await assert.rejects(new Client(url).predict({ image: path }), (error) => {
      assert.ok(error.message.includes(`modality 'image': use await openFile(${JSON.stringify(path)})`));
      return true;
    });
  });
}

test("a text that names a file in a sentence is a text, and so is a String object", async (t) => {
  const { request } = await ask(t, { notes: "see lesion.jpg", title: new String("lesion.jpg") });
  assert.deepEqual(JSON.parse(request.body), { inputs: { notes: "see lesion.jpg", title: "lesion.jpg" } });
});

test("bytes make a form, whose parts are a file, JSON and text", async (t) => {
  const bytes = new Uint8Array([0xff, 0xd8, 0, 1]);
  const { request } = await ask(t, { image: bytes, clinical: { age: 61 }, notes: "spot" });
  assert.match(request.headers["content-type"], /^multipart\/form-data; boundary=/);
  assert.match(request.body, /name="image"; filename="image"\r\n[^]*\r\n\r\n\xff\xd8\x00\x01\r\n/);
  assert.match(request.body, /name="clinical"\r\n\r\n{"age":61}\r\n/);
  assert.match(request.body, /name="notes"\r\n\r\nspot\r\n/);
});

test("a form that could be read in two ways is JSON, with the file in base64", async (t) => {
  const image = new Uint8Array(100_000).map((_, at) => at % 251);
  const { request } = await ask(t, { image, notes: { title: "spot", review: null } });
  assert.deepEqual(JSON.parse(request.body), {
    inputs: { image: Buffer.from(image).toString("base64"), notes: { title: "spot", review: null } },
  });
});

test("options are the query, and the model is in the path", async (t) => {
  const { request } = await ask(
    t,
    { notes: "x" },
    { topK: 2, explain: true, prior: "training" },
    { model: "a b/c", version: "latest", key: "secret", headers: { "X-Routing-Key": "7" } },
  );
  assert.equal(
    request.url,
    "/models/a%20b%2Fc/versions/latest/predict?top_k=2&explain=true&prior=training",
  );
  assert.equal(request.headers.authorization, "Bearer secret");
  assert.equal(request.headers["x-routing-key"], "7");
});

test("an option that is null is not given", async (t) => {
  const { url, requests } = await startServer(t, [BUSY]);
  const options = {
    model: null, version: null, key: null, headers: null, timeoutMs: null, deadlineMs: null, retries: null, fetch: null,
  };
  await new Client(url, options).predict({ notes: "x" }, { topK: null, explain: null, prior: null, signal: null });
  assert.deepEqual(requests.map((request) => request.url), ["/predict", "/predict"]);
  assert.equal(requests[0].headers.authorization, undefined);
});

test("a prefix of the address is kept", async (t) => {
  const { url, requests } = await startServer(t);
  await new Client(`${url}/tailfuse/`).predict({ notes: "x" });
  assert.equal(requests[0].url, "/tailfuse/predict");
});

for (const url of ["ftp://host", "localhost:8000", "", "http://user:pass@host", "http://host/?a=1"]) {
  test(`an address that cannot be asked is refused: '${url}'`, () => {
    assert.throws(() => new Client(url), TypeError);
  });
}

test("a version without a model is refused", () => {
  assert.throws(() => new Client("http://host", { version: "2" }), /version requires model/);
});

for (const [name, replies] of Object.entries({
  overloaded: [BUSY, BUSY, UNREADY],
  "broken connections": [BREAK, BREAK],
})) {
  test(`a temporary failure is sent again: ${name}`, async (t) => {
    const { url, requests } = await startServer(t, [...replies]);
    assert.equal((await new Client(url).predict({ notes: "x" })).label, "a");
    assert.equal(requests.length, replies.length + 1);
    assert.equal(new Set(requests.map((request) => request.body)).size, 1);
  });
}

test("a form is sent again whole", async (t) => {
  const { url, requests } = await startServer(t, [BUSY]);
  await new Client(url).predict({ image: new Uint8Array([1, 2, 3]) });
  assert.ok(requests.every((request) => request.body.includes("\x01\x02\x03")));
});

test("it gives up after the retries, with the problem", async (t) => {
  const { url, requests } = await startServer(t, [BUSY, BUSY, BUSY]);
  await assert.rejects(new Client(url, { retries: 2 }).predict({ notes: "x" }), { slug: "overloaded" });
  assert.equal(requests.length, 3);
});

test("a pause beyond the deadline is not made", async (t) => {
  const { url, requests } = await startServer(t, [makeProblem(429, "overloaded", { "retry-after": "3600" })]);
  await assert.rejects(new Client(url).predict({ notes: "x" }), { status: 429 });
  assert.equal(requests.length, 1);
});

test("a date in Retry-After is relative to the server's clock", async (t) => {
  const date = "Wed, 21 Oct 2015 07:28:00 GMT";
  const { url, requests } = await startServer(t, [makeProblem(503, "x", { "retry-after": date, date })]);
  await new Client(url).predict({ notes: "x" });
  assert.equal(requests.length, 2);
});

for (const status of [400, 422, 500, 504]) {
  test(`a final status is not sent again: ${status}`, async (t) => {
    const { url, requests } = await startServer(t, [makeProblem(status, "x")]);
    await assert.rejects(new Client(url).predict({ notes: "x" }), Problem);
    assert.equal(requests.length, 1);
  });
}

test("what breaks within the answer is not sent again", async (t) => {
  const { url, requests } = await startServer(t, [CUT]);
  await assert.rejects(new Client(url).predict({ notes: "x" }), NoAnswer);
  assert.equal(requests.length, 1);
});

test("no answer in time", async (t) => {
  const { url } = await startServer(t, [SILENT]);
  await assert.rejects(new Client(url, { timeoutMs: 50.5 }).predict({ notes: "x" }), {
    name: "NoAnswer",
    message: `${url}: no answer in time`,
  });
});

for (const limit of [Infinity, 2 ** 31]) {
  test(`a time-out may be as long as one likes: ${limit}`, async (t) => {
    const { url, requests } = await startServer(t);
    const client = new Client(url, { timeoutMs: limit, deadlineMs: limit, retries: 0 });
    assert.equal(await client.ready(), true);
    assert.equal((await client.predict({ notes: "x" })).label, "a");
    assert.equal(requests.length, 2);
  });
}

test("a signal aborts a request and a pause with its own reason", async (t) => {
  for (const reply of [SILENT, makeProblem(429, "overloaded", { "retry-after": "60" })]) {
    const { url } = await startServer(t, [reply]);
    const controller = new AbortController();
    const answer = new Client(url).predict({ notes: "x" }, { signal: controller.signal });
    setTimeout(() => controller.abort(new Error("enough")), 100);
    await assert.rejects(answer, { message: "enough" });
  }
});

test("nobody listens", async (t) => {
  const { url } = await startServer(t);
  await assert.rejects(new Client("http://127.0.0.1:1", { retries: 0 }).predict({ notes: "x" }), NoAnswer);
  assert.equal(await new Client("http://127.0.0.1:1").ready(), false);
  assert.equal(await new Client(url).ready(), true);
});

for (const body of ["<html>", "[]", "null", '{"status": "ok"}']) {
  test(`a server of something else is no answer: ${body}`, async (t) => {
    const { url } = await startServer(t, [{ status: 200, body }]);
    await assert.rejects(new Client(url).predict({ notes: "x" }), /is not a tailfuse service/);
  });
}

test("a proxy's page is a problem with its status", async (t) => {
  const { url } = await startServer(t, [{ status: 502, body: "<h1>Bad gateway</h1>" }]);
  await assert.rejects(new Client(url).predict({ notes: "x" }), { status: 502, detail: "<h1>Bad gateway</h1>" });
});

async function collect(results) {
  const all = [];
  for await (const each of results) all.push(each);
  return all;
}

function reply(n) {
  return { status: 200, body: JSON.stringify({ results: Array(n).fill(ANSWER) }) };
}

test("a batch is packed into requests, of any iterable", async (t) => {
  const { url, requests } = await startServer(t, [reply(2), reply(2), reply(1)]);
  async function* items() {
    for (let at = 0; at < 5; at++) yield { notes: String(at) };
  }
  const results = await collect(new Client(url).predictBatch(items(), { maxItems: 2, concurrency: 1, topK: 1 }));
  assert.equal(results.length, 5);
  assert.deepEqual(
    requests.map((request) => JSON.parse(request.body).items.map((item) => item.inputs.notes)),
    [["0", "1"], ["2", "3"], ["4"]],
  );
  assert.ok(requests.every((request) => request.url === "/predict/batch?top_k=1"));
});

test("a batch's limits that are null are the defaults", async (t) => {
  const { url, requests } = await startServer(t, [reply(2)]);
  await collect(new Client(url).predictBatch([{ notes: "a" }, { notes: "b" }], { maxItems: null, concurrency: null }));
  assert.equal(requests.length, 1);
});

test("a batch's request is at most 8 MiB", async (t) => {
  const { url, requests } = await startServer(t, [reply(1), reply(1), reply(1)]);
  const items = Array.from({ length: 3 }, () => ({ notes: "é".repeat(2_200_000) }));
  await collect(new Client(url).predictBatch(items, { concurrency: 1 }));
  assert.equal(requests.length, 3);
});

test("who takes no more results sends no more requests", async (t) => {
  const { url, requests } = await startServer(t, [reply(1)]);
  function* items() {
    for (;;) yield { notes: "x" };
  }
  for await (const result of new Client(url).predictBatch(items(), { maxItems: 1, concurrency: 1 })) {
    assert.equal(result.label, "a");
    break;
  }
  assert.equal(requests.length, 1);
});

test("too few results are no answer", async (t) => {
  const { url } = await startServer(t, [reply(1)]);
  await assert.rejects(collect(new Client(url).predictBatch([{ notes: "a" }, { notes: "b" }])), NoAnswer);
});

for (const options of [{ maxItems: 0 }, { maxItems: NaN }, { concurrency: 0 }]) {
  test(`a limit that allows nothing is refused: ${JSON.stringify(options)}`, async () => {
    await assert.rejects(collect(new Client("http://host").predictBatch([{}], options)), RangeError);
  });
}
