import { Deadline } from "../../lib/core/deadline.ts";
import type { EnginePool } from "../engine_pool.ts";

/** Parts of {@link KmsTime}. */
export interface KmsTimeParts {
  /** Engines whose answers tell the time. */
  readonly engines: Pick<EnginePool, "kmsTimeMs" | "open">;
  /** Region whose KMS is asked. */
  readonly region: string;
  /** Milliseconds for one question. */
  readonly timeoutMs: number;
  /** Clock in milliseconds that nobody sets. Default: `performance.now()`. */
  readonly now?: (() => number) | undefined;
}

/** Milliseconds between the starts of two questions: callers may come by the thousand before KMS has answered. */
const PAUSE_MS = 1000;

/** Time by KMS's clock, which the parent cannot set. It can hold an answer back, by one question's time at most. */
export class KmsTime {
  readonly #parts: KmsTimeParts;
  #question: Promise<void> | undefined;
  #askedAtMs = -Infinity;

  /** @param parts Engines, region and clock */
  constructor(parts: KmsTimeParts) {
    this.#parts = parts;
  }

  /** Milliseconds since 1970; undefined until an answer of KMS's told the time. */
  get nowMs(): number | undefined {
    return this.#parts.engines.kmsTimeMs;
  }

  /** KMS's time minus this machine's, in seconds; undefined until an answer of KMS's told the time. */
  get offsetSeconds(): number | undefined {
    const { nowMs } = this;
    return nowMs === undefined ? undefined : Math.round(nowMs - Date.now()) / 1000;
  }

  /**
   * Tells the time, and has KMS asked for it when it is not known.
   *
   * @returns Milliseconds since 1970; undefined until an answer of KMS's told the time
   */
  read(): number | undefined {
    const { nowMs } = this;
    if (nowMs === undefined) void this.learn();
    return nowMs;
  }

  /**
   * Asks KMS for the time, unless it is known. It takes no credentials. One question runs at a time, and one begins in a
   * second. Never rejects.
   *
   * @returns Whether the time is known
   */
  async learn(): Promise<boolean> {
    const { now = () => performance.now() } = this.#parts;
    if (this.nowMs === undefined && this.#question === undefined && now() - this.#askedAtMs >= PAUSE_MS) {
      this.#askedAtMs = now();
      this.#question = this.#ask().catch(() => {}).finally(() => this.#question = undefined);
    }
    await this.#question;
    return this.nowMs !== undefined;
  }

  async #ask(): Promise<void> {
    const { engines, region, timeoutMs } = this.#parts;
    using deadline = new Deadline("ask KMS for the time", timeoutMs);
    const engine = await deadline.race(engines.open(region));
    await engine.askTime(deadline);
  }
}
