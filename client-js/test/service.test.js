/** A running service with the tiny bundle of the tests: TAILFUSE_URL, TAILFUSE_KEY, and TAILFUSE_IMAGE, a file. */

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";

import { Client, Problem } from "tailfuse-client";
import { openFile } from "tailfuse-client/node";

const { TAILFUSE_URL: url, TAILFUSE_KEY: key, TAILFUSE_IMAGE: image } = process.env;

describe("a running service", { skip: !url && "TAILFUSE_URL is not set" }, () => {
  let client;
  before(() => {
    client = new Client(url, { key });
  });

  function listPresent(answer) {
    return Object.entries(answer.modalities).filter(([, each]) => each.present).map(([name]) => name);
  }

  test("every way to give a file has the same answer", async () => {
    const bytes = await readFile(image);
    const ways = {
      path: await openFile(image),
      url: await openFile(pathToFileURL(image)),
      buffer: bytes,
      bytes: new Uint8Array(bytes),
      arrayBuffer: new Uint8Array(bytes).buffer,
      blob: new Blob([bytes]),
      file: new File([bytes], "lesion.png", { type: "image/png" }),
      base64: bytes.toString("base64"),
    };
    const answers = new Set();
    for (const value of Object.values(ways)) {
      const answer = await client.predict({ image: value });
      assert.deepEqual(listPresent(answer), ["image"]);
      answers.add(JSON.stringify(answer.probabilities));
    }
    assert.equal(answers.size, 1);
  });

  test("a form and JSON have the same answer", async () => {
    const file = await openFile(image);
    const clinical = { age: 61, smoker: true, site: "back" };
    const byForm = await client.predict({ image: file, clinical, notes: "spot" });
    const inputs = { image: file, clinical, notes: { review: "spot", title: null } }; // ambiguous: JSON
    const byJson = await client.predict({ ...inputs, notes: "spot", image: await toBase64(file) });
    assert.deepEqual(byForm.probabilities, byJson.probabilities);
    assert.deepEqual(listPresent(await client.predict(inputs)), ["image", "clinical", "notes"]);
  });

  async function toBase64(file) {
    return Buffer.from(await file.arrayBuffer()).toString("base64");
  }

  test("files of text and JSON are values", async () => {
    const folder = dirname(image);
    await writeFile(join(folder, "notes.txt"), "\ufeffdark spot");
    await writeFile(join(folder, "clinical.json"), '{"age": 61}');
    assert.equal(await openFile(join(folder, "notes.txt")), "dark spot");
    const clinical = await openFile(join(folder, "clinical.json"));
    const answer = await client.predict({ clinical, notes: await openFile(join(folder, "notes.txt")) });
    assert.deepEqual(listPresent(answer), ["clinical", "notes"]);
  });

  test("options change the answer", async () => {
    const answer = await client.predict(
      { clinical: { age: 61 }, notes: "spot" },
      { topK: 1, explain: true, prior: "training" },
    );
    assert.equal(Object.keys(answer.probabilities).length, 1);
    assert.deepEqual(Object.keys(answer.explanation.contributions), ["clinical", "notes"]);
    assert.equal(answer.prior, "training");
  });

  test("a batch has an answer or a problem for each item, in order", async () => {
    const items = [];
    for (let age = 20; age < 40; age++) items.push({ clinical: { age } });
    items[7] = { clinical: { age: "old" } };
    const results = [];
    for await (const result of client.predictBatch(items, { maxItems: 3, concurrency: 4 })) results.push(result);
    assert.equal(results.length, 20);
    assert.ok(results[7] instanceof Problem);
    assert.equal(results[7].column, "age");
    const one = await client.predict(items[19]);
    assert.deepEqual(results[19].probabilities, one.probabilities);
  });

  test("the model and the models", async () => {
    const model = await client.model();
    assert.equal(model.name, "skin-lesions");
    assert.equal(model.modalities.image.kind, "image");
    assert.deepEqual(await new Client(url, { key, model: "skin-lesions", version: "3" }).model(), model);
    assert.equal((await client.models()).default, "skin-lesions");
    assert.equal(await client.ready(), true);
  });

  test("a problem has its fields", async () => {
    await assert.rejects(client.predict({ clinical: { ages: 61 } }), (error) => {
      assert.ok(error instanceof Problem && error instanceof Error);
      assert.equal(error.message, "modality 'clinical' has no column 'ages' (422 unknown-column)");
      const { status, slug, modality, column, expected } = error;
      assert.deepEqual(
        { status, slug, modality, column, expected },
        {
          status: 422, slug: "unknown-column", modality: "clinical", column: "ages",
          expected: ["age", "pulse", "smoker", "site"],
        },
      );
      assert.ok(error.request_id);
      return true;
    });
  });

  test("a wrong key and an unknown model are problems", async () => {
    await assert.rejects(new Client(url, { key: "wrong" }).model(), { status: 401, slug: "unauthorized" });
    await assert.rejects(new Client(url, { key, model: "a/b" }).predict({ notes: "x" }), { status: 404 });
  });
});
