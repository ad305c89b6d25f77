/** Time of what ends when its timers are let go: it is over in no test, and no other timer is as long. */
export const HELD_MS = 654_321;

type Callback = () => void;
type Timer = ReturnType<typeof setTimeout>;

/**
 * Timers of {@link HELD_MS}, which a test lets go off when what must come before has come: with a short time instead, a busy
 * machine may be too slow for that.
 */
export class HeldTimers implements Disposable {
  readonly #held = new Map<unknown, Callback>();
  readonly #setTimeout = globalThis.setTimeout;
  readonly #clearTimeout = globalThis.clearTimeout;

  constructor() {
    const set = (callback: Callback, delay?: number): Timer => {
      const timer = this.#setTimeout(callback, delay);
      if (delay === HELD_MS) this.#held.set(timer, callback);
      return timer;
    };
    const clear = (timer: Timer) => {
      this.#held.delete(timer);
      this.#clearTimeout(timer);
    };
    globalThis.setTimeout = Object.assign(set, this.#setTimeout) as typeof setTimeout;
    globalThis.clearTimeout = clear as typeof clearTimeout;
  }

  /** Number of those that run. */
  get count(): number {
    return this.#held.size;
  }

  /** Lets those that run go off. */
  goOff(): void {
    for (const [timer, callback] of [...this.#held]) {
      globalThis.clearTimeout(timer as Timer);
      callback();
    }
  }

  [Symbol.dispose](): void {
    globalThis.setTimeout = this.#setTimeout;
    globalThis.clearTimeout = this.#clearTimeout;
  }
}
