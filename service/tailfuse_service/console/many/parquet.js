// Rows of a Parquet file, only the columns that the model reads.

import { gunzipSync, parquetMetadataAsync, parquetReadObjects, parquetSchema, zstdDecompress } from "../vendor/parquet.js";
import { TableError } from "./csv.js";

/** @type {Record<string, import("../vendor/parquet.js").Decompress>} */
const CODECS = { GZIP: (bytes) => gunzipSync(bytes), ZSTD: (bytes) => zstdDecompress(bytes) };

/**
 * Return all column names of a file, those that are read, and the cells of the rows in their order. Throws TableError.
 * @param {Blob} blob @param {ReadonlySet<string>} wanted
 */
export async function readParquetTable(blob, wanted) {
  /** @type {import("../vendor/parquet.js").AsyncBuffer} */
  const file = { byteLength: blob.size, slice: (start, end) => blob.slice(start, end).arrayBuffer() };
  try {
    const metadata = await parquetMetadataAsync(file);
    const columns = parquetSchema(metadata).children.map((child) => child.element.name);
    const read = columns.filter((name) => wanted.has(name));
    // Not as objects, which would lose a column called "__proto__".
    const rows = read.length
      ? await parquetReadObjects({ file, metadata, columns: read, rowFormat: "array", compressors: CODECS, utf8: false }) : [];
    return { columns, read, rows };
  } catch (error) {
    throw new TableError(`the Parquet file cannot be read: ${/** @type {Error} */ (error).message}`);
  }
}
