// The sample that the views show. It is kept while the user goes from view to view.

/** @typedef {import("./types.d.ts").Inputs} Inputs */

/** Raw values by modality. A Map, because a modality may be called anything, "__proto__" too. */
export class Sample {
  /** @type {Map<string, unknown>} */
  #values = new Map();
  /** @type {Set<(changed: string | null) => void>} */
  #listeners = new Set();

  /** The names of the present modalities. */
  get names() {
    return [...this.#values.keys()];
  }

  /** The values as `inputs` of a request has them. */
  get inputs() {
    return Object.fromEntries(this.#values);
  }

  /** @param {string} name */
  get(name) {
    return this.#values.get(name);
  }

  /**
   * Set a modality's value; null and undefined remove it.
   * @param {string} name @param {unknown} value
   */
  set(name, value) {
    if (value == null) this.#values.delete(name);
    else this.#values.set(name, value);
    this.#tell(name);
  }

  /** Set all values at once. @param {Inputs} inputs */
  replace(inputs) {
    this.#values = new Map(Object.entries(inputs).filter(([, value]) => value != null));
    this.#tell(null);
  }

  /**
   * Call a listener after each change, with the modality's name or null for all. Return what stops it.
   * @param {(changed: string | null) => void} listener
   */
  subscribe(listener) {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** @param {string | null} changed */
  #tell(changed) {
    for (const listener of this.#listeners) listener(changed);
  }
}
