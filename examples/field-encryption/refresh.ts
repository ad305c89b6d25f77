/** Data from outside that are loaded at intervals, and kept when that fails. */
import { setTimeout } from "node:timers/promises";
import type { Logger } from "enclave-kms/enclave";

/** Error about loaded content. Its message may be logged: it has nothing of that content but names. */
export class ContentError extends Error {
  override readonly name = "ContentError";
}

/** Longest time for loading once, and between tries that fail, in milliseconds. */
const LOAD_TIMEOUT_MS = 60_000;
const MAX_PAUSE_MS = 30_000;
const FIRST_PAUSE_MS = 250;

/** Data that are loaded again and again. */
export interface Refreshed {
  /** Name, for the log and `/readyz`. */
  readonly name: string;
  /** Seconds between two loads. */
  readonly seconds: number;
  /** Loads, and takes what was loaded as a whole or not at all. */
  readonly load: (signal: AbortSignal) => Promise<void>;
  /** Destination of what happens. */
  readonly logger: Logger;
}

/** Loads data at once, at an interval, and sooner again after a failure. */
export class Refresh {
  readonly #data: Refreshed;
  #isLoaded = false;
  #failedSince: Date | undefined;

  constructor(data: Refreshed) {
    this.#data = data;
  }

  /** Sentence for `/readyz` while the data are older than they should be. */
  get warning(): string | undefined {
    if (!this.#isLoaded || this.#failedSince === undefined) return undefined;
    const since = this.#failedSince.toISOString();
    return `the ${this.#data.name} could not be loaded since ${since}: the last good ones count`;
  }

  /** Runs until the signal. */
  async run(stop: AbortSignal): Promise<void> {
    for (let pauseMs = FIRST_PAUSE_MS; !stop.aborted;) {
      const isGood = await this.#loadOnce(stop);
      const intervalMs = this.#data.seconds * 1000;
      const waitMs = isGood ? intervalMs : Math.min(pauseMs, intervalMs);
      pauseMs = isGood ? FIRST_PAUSE_MS : Math.min(pauseMs * 2, MAX_PAUSE_MS);
      await setTimeout(waitMs, undefined, { signal: stop, ref: false }).catch(() => {});
    }
  }

  async #loadOnce(stop: AbortSignal): Promise<boolean> {
    const { name, load, logger } = this.#data;
    try {
      await load(AbortSignal.any([stop, AbortSignal.timeout(LOAD_TIMEOUT_MS)]));
      if (this.#failedSince !== undefined || !this.#isLoaded) logger.info(`${name}: loaded`);
      this.#isLoaded = true;
      this.#failedSince = undefined;
      return true;
    } catch (error) {
      if (stop.aborted) return false;
      this.#failedSince ??= new Date();
      // Messages of others may quote what they could not read.
      const failure = error instanceof ContentError ? error.message : (error as Error).name;
      logger.warn({ failure }, `${name}: not loaded`);
      return false;
    }
  }
}
