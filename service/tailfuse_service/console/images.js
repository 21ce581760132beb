// Images in the browser: files to base64 and back, and large ones scaled before they are sent.

/** @typedef {import("./types.d.ts").ImageModality} ImageModality */

const MIN_SIDE = 1024; // pixels: no image is scaled below
const JPEG_QUALITY = 0.92;
const MAX_ARGUMENTS = 0x8000; // of one call

/** @param {Blob} blob */
export async function encodeBase64(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let binary = "";
  for (let at = 0; at < bytes.length; at += MAX_ARGUMENTS) binary += String.fromCharCode(...bytes.subarray(at, at + MAX_ARGUMENTS));
  return btoa(binary);
}

/**
 * Return the bytes of base64; null if it is none.
 * @param {string} text
 */
export function decodeBase64(text) {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return null;
  }
}

/**
 * Return the longest side that an image is sent with: twice what the model sees, or more.
 * @param {ImageModality} modality
 */
export function maxSide(modality) {
  return Math.max(MIN_SIDE, 2 * modality.width, 2 * modality.height);
}

/**
 * Decode an image, turned as its EXIF block says; null for a format that the browser does not know.
 * @param {Blob} blob
 */
export async function decodeImage(blob) {
  try {
    return await createImageBitmap(blob);
  } catch {
    return null;
  }
}

/**
 * Return a canvas with an image whose longest side has at most `side` pixels.
 * @param {ImageBitmap} image @param {number} side
 */
export function drawImage(image, side) {
  const scale = Math.min(1, side / Math.max(image.width, image.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(image.width * scale));
  canvas.height = Math.max(1, Math.round(image.height * scale));
  const context = getContext(canvas);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** @param {HTMLCanvasElement} canvas */
export function getContext(canvas) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
}

/**
 * @param {HTMLCanvasElement} canvas @param {string} type @param {number} [quality]
 * @returns {Promise<Blob>}
 */
export function encodeCanvas(canvas, type, quality) {
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the image cannot be written"))), type, quality));
}

/**
 * Return the file to send, and a sentence about it. Images of more than 8 bits stay as they are: a canvas has 8.
 * @param {Blob} file @param {ImageModality} modality @param {boolean} scale
 * @returns {Promise<{ blob: Blob, text: string }>}
 */
export async function prepareImage(file, modality, scale) {
  const image = await decodeImage(file);
  if (image === null) return { blob: file, text: "The browser cannot show this format; the file is sent as it is." };
  const size = `${image.width} × ${image.height} pixels, ${formatBytes(file.size)}`;
  const side = maxSide(modality);
  if (!scale || modality.deep || Math.max(image.width, image.height) <= side)
    return { blob: file, text: `${size}, sent as it is.` };
  const canvas = drawImage(image, side);
  const blob = await encodeCanvas(canvas, file.type === "image/png" ? "image/png" : "image/jpeg", JPEG_QUALITY);
  const scaled = `${canvas.width} × ${canvas.height} pixels, ${formatBytes(blob.size)}`;
  return { blob, text: `${size}, scaled to ${scaled} before sending.` };
}

/** @param {number} bytes */
export function formatBytes(bytes) {
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} KB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
