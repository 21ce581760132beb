// The files of a ZIP, unpacked one by one when they are needed.

import { unzipRaw } from "../vendor/unzip.js";
import { TableError } from "./csv.js";
import { RowError } from "./rows.js";

const MAX_ENTRY_BYTES = 256 << 20; // unpacked; no service takes a larger body

/**
 * List a ZIP's files. Throws TableError if it cannot be read.
 * @param {File} file
 * @returns {Promise<import("./source.js").Entry[]>}
 */
export async function openArchive(file) {
  let entries;
  try {
    ({ entries } = await unzipRaw(file));
  } catch {
    throw new TableError(`'${file.name}' is not a ZIP, or it is damaged`);
  }
  return entries
    .filter((entry) => !entry.isDirectory)
    .map((entry) => ({ name: entry.name, open: () => unpack(entry) }));
}

/** @param {import("../vendor/unzip.js").ZipEntry} entry */
async function unpack(entry) {
  if (entry.encrypted) throw new RowError(`'${entry.name}' is encrypted`);
  if (entry.size > MAX_ENTRY_BYTES) throw new RowError(`'${entry.name}' unpacks to more than 256 MB`);
  try {
    const blob = await entry.blob();
    if (blob.size === entry.size) return blob;
  } catch {
    // The damage is reported below.
  }
  throw new RowError(`'${entry.name}' is damaged in the ZIP`);
}
