/** What the console uses of unzipit; `make console-vendor` bundles it. */
export interface ZipEntry {
  name: string;
  size: number;
  isDirectory: boolean;
  encrypted: boolean;
  blob(): Promise<Blob>;
}
export function unzipRaw(source: Blob): Promise<{ entries: ZipEntry[] }>;
