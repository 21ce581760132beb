// Large images are scaled before they are sent, as the view Try does it.

import { prepareImage } from "../images.js";

const MIN_BYTES = 256 << 10; // smaller files are sent as they are, without decoding them first
const PNG = 0x89; // its first byte

/**
 * Return the file to send. A PNG stays one, as it may be transparent.
 * @param {Blob} blob @param {import("../types.d.ts").ImageModality} modality
 */
export async function shrinkImage(blob, modality) {
  if (blob.size < MIN_BYTES) return blob;
  const [first] = new Uint8Array(await blob.slice(0, 1).arrayBuffer());
  const typed = first === PNG ? new Blob([blob], { type: "image/png" }) : blob;
  return (await prepareImage(typed, modality, true)).blob;
}
