// The field of an image: chosen, dropped, pasted or taken with the camera.

import { element } from "../element.js";
import { decodeBase64, decodeImage, encodeBase64, maxSide, prepareImage } from "../images.js";

/** @typedef {import("../types.d.ts").ImageModality} ImageModality */

/**
 * @param {string} name @param {ImageModality} modality @param {(value: unknown) => void} give
 * @returns {import("./field.js").Control}
 */
export function makeImageField(name, modality, give) {
  /** @type {File | null} */
  let file = null;
  let turn = 0; // counts the images: one that is decoded late must not replace a newer one
  const told = element("p", { class: "hint", role: "status" });
  const preview = element("div");
  const scale = /** @type {HTMLInputElement} */ (element("input", { type: "checkbox", checked: true, onchange: () => file && void take(file) }));
  const chooser = element("input", { type: "file", accept: "image/*,.dcm,.heic,.tif,.tiff", "aria-label": `Image file of ${name}`, onchange: takeChosen });
  const camera = element("input", { type: "file", accept: "image/*", capture: "environment", "aria-label": `Photo of ${name}`, onchange: takeChosen });
  const box = element("div", { class: "drop", ondragover: enter, ondragleave: leave, ondrop: drop },
    element("p", {}, "Choose an image, drop one here, or paste one."), chooser,
    element("div", { class: "camera" }, "Or take one: ", camera));
  const switched = modality.deep ? null
    : element("label", {}, scale, ` Scale an image above ${maxSide(modality).toLocaleString("en")} pixels before it is sent`);

  /** @param {Event} event */
  function takeChosen(event) {
    const [chosen] = /** @type {HTMLInputElement} */ (event.target).files ?? [];
    if (chosen) void take(chosen);
  }

  /** @param {DragEvent} event */
  function enter(event) {
    event.preventDefault();
    box.classList.add("over");
  }

  function leave() {
    box.classList.remove("over");
  }

  /** @param {DragEvent} event */
  function drop(event) {
    event.preventDefault();
    leave();
    const [dropped] = event.dataTransfer?.files ?? [];
    if (dropped) void take(dropped);
  }

  /** @param {File} chosen */
  async function take(chosen) {
    const own = ++turn;
    file = chosen;
    told.textContent = `Reading ${chosen.name}…`;
    const { blob, text } = await prepareImage(chosen, modality, scale.checked);
    const encoded = await encodeBase64(blob);
    if (own !== turn) return;
    told.textContent = `${chosen.name}: ${text}`;
    await showBlob(blob);
    if (own === turn) give(encoded);
  }

  /** @param {Blob | null} blob */
  async function showBlob(blob) {
    const own = turn;
    const canvas = blob && (await drawPreview(blob, name));
    if (own === turn) preview.replaceChildren(...(canvas ? [canvas] : []));
  }

  return {
    node: element("div", {}, box, preview, told, switched),
    take: (chosen) => void take(chosen),
    show(value) {
      turn += 1;
      file = null;
      for (const input of [chooser, camera]) /** @type {HTMLInputElement} */ (input).value = "";
      told.textContent = "";
      const bytes = typeof value === "string" ? decodeBase64(value) : null;
      void showBlob(bytes && new Blob([bytes]));
    },
  };
}

/**
 * Return a canvas that shows an image; null for a format that the browser does not know.
 * @param {Blob} blob @param {string} name
 */
export async function drawPreview(blob, name) {
  const image = await decodeImage(blob);
  if (image === null) return null;
  const isSmall = Math.max(image.width, image.height) < 128;
  const canvas = /** @type {HTMLCanvasElement} */ (element("canvas", {
    class: isSmall ? "preview small" : "preview", role: "img", "aria-label": `Image of ${name}`,
    width: image.width, height: image.height,
  }));
  canvas.getContext("2d")?.drawImage(image, 0, 0);
  if (isSmall) canvas.style.width = `${Math.min(192, 6 * image.width)}px`;
  return canvas;
}
