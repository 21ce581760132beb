// What the console reads ZIP files with: entry by entry, from the file itself.
export { unzipRaw } from "unzipit";
