/** A server on loopback that does as it is told: its replies in their order, and what it was asked. */

import { once } from "node:events";
import { createServer } from "node:http";

export const ANSWER = {
  request_id: "1",
  model: { name: "m", version: "1" },
  label: "a",
  probability: 0.75,
  probabilities: { a: 0.75, b: 0.25 },
  modalities: { notes: { present: true, weight: 1, confidence: 0.5 } },
};

/** Return a reply with a problem. */
export function makeProblem(status, slug, headers = {}) {
  const document = { type: `urn:tailfuse:problem:${slug}`, title: slug, status, detail: "no" };
  return { status, headers, body: JSON.stringify(document) };
}

/** The reply of a connection that closes without an answer. */
export const BREAK = { broken: true };
/** The reply of a server that says nothing. */
export const SILENT = { silent: true };
/** A connection that breaks within the answer. */
export const CUT = { status: 200, headers: { "content-length": "999" }, body: "{", cut: true };

/** Start it for a test. `replies` without an entry left are answers. */
export async function startServer(test, replies = []) {
  const requests = [];
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    requests.push({ ...pick(request), body: Buffer.concat(chunks).toString("latin1") });
    const reply = replies.shift() ?? { status: 200, body: JSON.stringify(ANSWER) };
    if (reply.broken) return request.socket.destroy();
    if (reply.silent) return;
    response.writeHead(reply.status, reply.headers);
    if (!reply.cut) return response.end(reply.body);
    response.write(reply.body, () => request.socket.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  test.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${server.address().port}`, requests };
}

function pick({ method, url, headers }) {
  return { method, url, headers };
}
