/** Files of Node as values. */

import { readFile } from "node:fs/promises";
import { basename, extname } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * Read a file as the value of a modality: a `.txt` is its text, a `.json` its value, any other its bytes.
 *
 * @param {string | URL} path
 * @returns {Promise<any>}
 */
export async function openFile(path) {
  const bytes = new Uint8Array(await readFile(path));
  const name = basename(typeof path === "string" ? path : fileURLToPath(path));
  const extension = extname(name).toLowerCase();
  if (extension !== ".txt" && extension !== ".json") return new File([bytes], name);
  // Without the mark that may be before the text; what is not UTF-8 is refused.
  const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  return extension === ".json" ? JSON.parse(text) : text;
}
