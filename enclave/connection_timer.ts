import type { Duplex } from "node:stream";
import { clearTimeout, setTimeout } from "node:timers";

/**
 * Destroys a connection when its time is up.
 *
 * Most requests only move the end further away. The timer is left alone then, and looks at the end when it fires: to
 * clear and set one for each step of each request took a tenth of the listener's time.
 */
export class ConnectionTimer implements Disposable {
  readonly #stream: Duplex;
  #timer: NodeJS.Timeout | undefined;
  #firesAt = Infinity;
  #endsAt = Infinity;

  /**
   * @param stream The connection
   * @param ms Milliseconds until it is destroyed
   */
  constructor(stream: Duplex, ms: number) {
    this.#stream = stream;
    this.allow(ms);
  }

  /**
   * Gives the connection this much time from now, instead of what was left.
   *
   * @param ms In milliseconds
   */
  allow(ms: number): void {
    // A timer would keep a connection that has closed in memory.
    if (this.#stream.destroyed) return;
    this.#endsAt = performance.now() + ms;
    if (this.#endsAt < this.#firesAt) this.#set(ms);
  }

  /** Stops the time. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #set(ms: number): void {
    clearTimeout(this.#timer);
    this.#firesAt = performance.now() + ms;
    this.#timer = setTimeout(() => this.#check(), ms);
  }

  #check(): void {
    const leftMs = this.#endsAt - performance.now();
    if (leftMs <= 0) this.#stream.destroy();
    else if (!this.#stream.destroyed) this.#set(Math.ceil(leftMs));
  }
}
