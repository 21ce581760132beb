/** Client of a tailfuse service, for browsers and Node. */

export { Client } from "./client.js";
export { NoAnswer, Problem } from "./problems.js";

/** @typedef {import("./client.js").ClientOptions} ClientOptions */
/** @typedef {import("./client.js").PredictOptions} PredictOptions */
/** @typedef {import("./client.js").BatchOptions} BatchOptions */
/** @typedef {import("./values.js").Inputs} Inputs */
/** @typedef {import("./replies.js").Answer} Answer */
/** @typedef {import("./replies.js").ModelInfo} ModelInfo */
/** @typedef {import("./replies.js").Models} Models */
