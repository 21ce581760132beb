// What the console reads Parquet with. Snappy is hyparquet's own; pandas and Polars write Zstandard and gzip too.
export { gunzipSync } from "fflate";
export { decompress as zstdDecompress } from "fzstd";
export { parquetMetadataAsync, parquetReadObjects, parquetSchema } from "hyparquet";
