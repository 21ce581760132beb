// Requests to the service. The key is known to this module alone: it is never in an address, nor stored.

/** @typedef {import("./types.d.ts").ProblemBody} ProblemBody */

/** An error that the service, or the way to it, has reported. */
export class Problem extends Error {
  /** @param {Partial<ProblemBody>} body */
  constructor(body) {
    super(body.detail ?? body.title ?? "the service answered with an error");
    this.name = "Problem";
    this.body = body;
    this.status = body.status ?? 0;
    /** The last part of the problem's type, such as "unknown-column". */
    this.slug = String(body.type ?? "").split(":").pop() ?? "";
    this.modality = body.modality;
    this.column = body.column;
    this.retryAfterS = body.retry_after_s;
  }
}

/** Asks the service, with the key that the user has given. */
export class Requests {
  #key = "";
  #base;
  #askKey;
  /** @type {Promise<boolean> | null} */
  #asking = null;

  /** @param {URL} base @param {(reason: string) => Promise<string | null>} askKey */
  constructor(base, askKey) {
    this.#base = base;
    this.#askKey = askKey;
  }

  get hasKey() {
    return this.#key !== "";
  }

  /**
   * Ask the user for a key, once for all requests that wait for one. Return whether one was given.
   * @param {string} reason
   */
  ask(reason) {
    this.#asking ??= this.#askKey(reason).then((key) => {
      this.#asking = null;
      if (key !== null) this.#key = key;
      return key !== null;
    });
    return this.#asking;
  }

  /**
   * Send a request; return JSON parsed, or text. Throws Problem, or AbortError where `init` has a signal.
   * @param {string} path @param {RequestInit} [init]
   * @returns {Promise<any>}
   */
  async send(path, init = {}) {
    const sent = this.#key;
    const response = await this.#fetch(path, init);
    const body = await readBody(response);
    if (response.ok) return body;
    const problem = makeProblem(response, body);
    if (response.status !== 401) throw problem;
    if (this.#key === sent && !(await this.ask(problem.message))) throw problem;
    return this.send(path, init);
  }

  /** @param {string} path @param {RequestInit} init */
  async #fetch(path, init) {
    const headers = new Headers(init.headers);
    if (this.#key) headers.set("Authorization", `Bearer ${this.#key}`);
    if (typeof init.body === "string" && !headers.has("Content-Type")) headers.set("Content-Type", "application/json");
    const url = new URL(path.replace(/^\/+/, ""), this.#base);
    if (url.origin !== this.#base.origin) throw new Problem({ detail: "only this service is asked" });
    try {
      return await fetch(url, { ...init, headers, credentials: "omit", cache: "no-store" });
    } catch (error) {
      if (init.signal?.aborted || !(error instanceof TypeError)) throw error;
      throw new Problem({ detail: "the service does not answer; is it running?" });
    }
  }
}

/** @param {Response} response */
async function readBody(response) {
  const isJson = /[/+]json\b/.test(response.headers.get("content-type") ?? "");
  const text = await response.text();
  if (!isJson) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** @param {Response} response @param {unknown} body */
function makeProblem(response, body) {
  const known = typeof body === "object" && body !== null ? body : {};
  return new Problem({ detail: `the service answered with status ${response.status}`, status: response.status, ...known });
}
