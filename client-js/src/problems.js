/** Errors: the service reports a `Problem`, or there is no usable answer (`NoAnswer`). */

const URN = "urn:tailfuse:problem:";

/** @typedef {import("../types/openapi.js").components["schemas"]["Problem"]} ProblemDocument */

/**
 * Problem details from the service (RFC 9457). In a batch it takes the place of its item's answer.
 *
 * `document` is the whole JSON object. Members that it does not have are undefined.
 */
export class Problem extends Error {
  /** @param {Partial<ProblemDocument> & { status: number }} document */
  constructor(document) {
    const type = document.type ?? "about:blank";
    const slug = type.startsWith(URN) ? type.slice(URN.length) : type;
    super(`${document.detail || document.title || ""} (${document.status} ${slug})`);
    this.name = "Problem";
    this.document = document;
    this.type = type;
    /** The name of the type, as in docs/reference/errors.md: `unknown-column`, `overloaded`, … */
    this.slug = slug;
    this.title = document.title ?? "";
    this.status = document.status;
    this.detail = document.detail ?? "";
    this.instance = document.instance;
    this.request_id = document.request_id;
    this.modality = document.modality;
    this.column = document.column;
    this.parameter = document.parameter;
    this.expected = document.expected;
    this.received = document.received;
    this.retry_after_s = document.retry_after_s;
  }
}

/** The service is unreachable, times out, breaks the connection, or is not a tailfuse service. */
export class NoAnswer extends Error {
  /**
   * @param {string} message
   * @param {unknown} [cause]
   */
  constructor(message, cause) {
    super(message, { cause });
    this.name = "NoAnswer";
  }
}
