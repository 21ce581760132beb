// Small images of rows, made when a row becomes visible. Images that the browser cannot read have none.

const SIDE_PX = 36;
const MAX_KEPT = 300;

export class Thumbnails {
  /** @type {Map<number, HTMLCanvasElement>} */
  #kept = new Map();
  #open;

  /** @param {(at: number) => Promise<Blob | undefined>} open */
  constructor(open) {
    this.#open = open;
  }

  /** Return the canvas of a row; it is drawn when its image has been read. @param {number} at */
  make(at) {
    const known = this.#kept.get(at);
    if (known) return known;
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = SIDE_PX;
    canvas.setAttribute("aria-hidden", "true"); // the file's name is beside it
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size < MAX_KEPT) break;
      this.#kept.delete(oldest);
    }
    this.#kept.set(at, canvas);
    void this.#draw(at, canvas);
    return canvas;
  }

  /** @param {number} at @param {HTMLCanvasElement} canvas */
  async #draw(at, canvas) {
    try {
      const blob = await this.#open(at);
      if (!blob || !canvas.isConnected) {
        this.#kept.delete(at); // scrolled past
        return;
      }
      const image = await createImageBitmap(blob);
      const scale = SIDE_PX / Math.max(image.width, image.height);
      const [width, height] = [image.width * scale, image.height * scale];
      canvas.getContext("2d")?.drawImage(image, (SIDE_PX - width) / 2, (SIDE_PX - height) / 2, width, height);
      image.close();
    } catch {
      // Formats such as DICOM and TIFF.
    }
  }
}
