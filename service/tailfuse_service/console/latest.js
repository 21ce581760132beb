// What a user types gives request after request: only the newest counts.

/** Runs one task at a time; a newer one cancels the one before. */
export class Latest {
  #controller = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * Run a task with a signal of its own, after a pause in which no newer one came.
   * @param {(signal: AbortSignal) => Promise<void>} task @param {number} [pauseMs]
   */
  run(task, pauseMs = 120) {
    this.stop();
    const { signal } = (this.#controller = new AbortController());
    this.#timer = setTimeout(async () => {
      try {
        await task(signal);
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    }, pauseMs);
  }

  /** Cancel what runs or waits. */
  stop() {
    clearTimeout(this.#timer);
    this.#controller.abort();
  }
}
