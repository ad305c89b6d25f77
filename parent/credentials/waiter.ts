/** Longest wait of one timer, in milliseconds: a clock that is set, or a machine that slept, is noticed after that. */
const MAX_WAIT_MS = 60_000;

/** Wait of one loop that others can end. */
export class Waiter {
  #wake: (() => void) | undefined;
  #isWoken = false;

  /**
   * Waits, at most a minute.
   *
   * @param waitMs Milliseconds
   */
  async wait(waitMs: number): Promise<void> {
    if (!this.#isWoken) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        timer = setTimeout(resolve, Math.min(waitMs, MAX_WAIT_MS));
      });
      clearTimeout(timer);
    }
    this.#wake = undefined;
    this.#isWoken = false;
  }

  /** Ends the wait under way, or the next one. */
  wake(): void {
    this.#isWoken = true;
    this.#wake?.();
  }
}
