/** What the console uses of hyparquet, fzstd and fflate; `make console-vendor` bundles them. */
export interface AsyncBuffer {
  byteLength: number;
  slice(start: number, end?: number): Promise<ArrayBuffer>;
}
export type Decompress = (bytes: Uint8Array, length: number) => Uint8Array;
export interface ReadOptions {
  file: AsyncBuffer;
  metadata: Metadata;
  columns: string[];
  rowFormat: "array";
  compressors: Record<string, Decompress>;
  utf8: boolean;
}
export interface Metadata { num_rows: bigint }
export function parquetMetadataAsync(file: AsyncBuffer): Promise<Metadata>;
export function parquetSchema(metadata: Metadata): { children: { element: { name: string } }[] };
export function parquetReadObjects(options: ReadOptions): Promise<unknown[][]>;
export function gunzipSync(bytes: Uint8Array): Uint8Array;
export function zstdDecompress(bytes: Uint8Array): Uint8Array;
