// How many rows are answered, and the time that is left.

import { formatCount } from "../element.js";

export class ProgressBar {
  #begun = performance.now();
  #bar; #text; #cancel; #count; #announce;
  #announced = 0;

  /** @param {import("../types.d.ts").App} app @param {number} count @param {() => void} cancel */
  constructor({ element, announce }, count, cancel) {
    this.#count = count;
    this.#announce = announce;
    this.#bar = /** @type {HTMLProgressElement} */ (element("progress", { max: count, value: 0, "aria-label": "Rows answered" }));
    this.#text = element("span", {}, "Asking…");
    this.#cancel = element("button", { type: "button", onclick: cancel }, "Cancel");
    this.node = element("div", { class: "row" }, this.#bar, this.#text, this.#cancel);
  }

  /** Move the focus to what can be done meanwhile. */
  focus() {
    this.#cancel.focus();
  }

  /** @param {number} done */
  update(done) {
    this.#bar.value = done;
    const left = ((performance.now() - this.#begun) / done) * (this.#count - done);
    this.#text.textContent = `${formatCount(done)} of ${formatCount(this.#count)}, ${formatTime(left / 1000)} left`;
    const tenth = Math.floor((10 * done) / this.#count);
    if (tenth > this.#announced && tenth < 10) this.#announce(`${10 * tenth} % answered`);
    this.#announced = Math.max(tenth, this.#announced);
  }
}

/** Return a time as "8 s" or "3 min". @param {number} seconds */
export function formatTime(seconds) {
  return seconds < 100 ? `${Math.ceil(seconds)} s` : `${Math.round(seconds / 60)} min`;
}
