import { Deadline } from "../../lib/core/deadline.ts";
import type { PushRecord } from "./push_record.ts";
import { Waiter } from "./waiter.ts";

/** Enclave as one look saw it. */
export interface EnclaveSight {
  /** Id of its boot, where it tells: another one means that it was restarted. */
  readonly bootId?: string | undefined;
  /** Whether it has credentials that KMS has not refused; undefined when it does not tell, or needs none. */
  readonly hasCredentials?: boolean | undefined;
  /** Names of the parts that it still misses. None: it is ready. */
  readonly missing: readonly string[];
}

/** Function that looks at the enclave, and rejects when it cannot. */
export type EnclaveWatch = (options: { readonly signal: AbortSignal }) => Promise<EnclaveSight>;

/** Change of the enclave: it booted anew, has no credentials that serve, or has some. */
export type EnclaveChange = "restart" | "lost" | "well";

/** Times and handlers of an {@link EnclaveWatcher}. */
export interface EnclaveWatcherOptions {
  /** Milliseconds between two looks. */
  readonly everyMs: number;
  /** Record that the looks are noted in. */
  readonly record: PushRecord;
  /** Called for each look that says something about credentials. */
  readonly onChange: (change: EnclaveChange) => void;
}

/** Longest look, in milliseconds. */
const LOOK_MS = 5000;

/** Watcher of an enclave, which looks at it again and again until it is closed. */
export class EnclaveWatcher {
  readonly #watch: EnclaveWatch;
  readonly #options: EnclaveWatcherOptions;
  readonly #closing = new AbortController();
  readonly #waiter = new Waiter();
  readonly #running: Promise<void>;
  #bootId: string | undefined;
  #wasUnreachable = false;

  /**
   * Begins to look.
   *
   * @param watch Looks once
   * @param options Times and handlers
   */
  constructor(watch: EnclaveWatch, options: EnclaveWatcherOptions) {
    this.#watch = watch;
    this.#options = options;
    this.#running = this.#run();
  }

  /** Ends the look under way, and waits for that. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#waiter.wake();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      await this.#look();
      if (!signal.aborted) await this.#waiter.wait(this.#options.everyMs);
    }
  }

  async #look(): Promise<void> {
    const { everyMs, record } = this.#options;
    const pushedBefore = record.state.counts.pushed;
    try {
      using deadline = new Deadline("look at the enclave", LOOK_MS, this.#closing.signal, "enclave");
      const sight = await deadline.race((async () => await this.#watch({ signal: deadline.signal }))());
      record.noteEnclave(sight.missing.length === 0 ? "ready" : "unready", sight.missing);
      this.#judge(sight, record.state.counts.pushed > pushedBefore);
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      // Told once, and not at each look.
      if (!this.#wasUnreachable) record.noteFailure("watch", error, everyMs);
      this.#wasUnreachable = true;
      record.noteEnclave("unreachable");
    }
  }

  /** Tells what changed. A look that began before a push may have seen the enclave as it was before. */
  #judge({ bootId, hasCredentials }: EnclaveSight, isOvertaken: boolean): void {
    const { record, onChange } = this.#options;
    const isOther = bootId !== undefined && this.#bootId !== undefined && bootId !== this.#bootId;
    // Without an id, an enclave that was away may have been restarted.
    const mayBeOther = bootId === undefined && this.#wasUnreachable && hasCredentials !== true;
    this.#bootId = bootId ?? this.#bootId;
    this.#wasUnreachable = false;
    if (isOther || mayBeOther) {
      record.noteLost(true);
      return onChange("restart");
    }
    if (hasCredentials === true) return onChange("well");
    if (hasCredentials === undefined || isOvertaken) return;
    record.noteLost(false);
    onChange("lost");
  }
}
