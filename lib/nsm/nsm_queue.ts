import { clearTimeout, setTimeout } from "node:timers";
import { AttestationError } from "../core/errors.ts";
import { NsmDevice } from "../native/nsm_device.ts";
import type { NsmTransport } from "./nsm_transport.ts";

/**
 * Milliseconds that a question to the NSM may take: a little more than the driver's own limit. A longer one no longer
 * holds the others up.
 */
export const MAX_SILENCE_MS = 130_000;

/** Number of questions that may wait for their turn. */
export const MAX_WAITING_QUESTIONS = 256;

/** Options of the wait for a module that others ask, too. */
export interface AttestationOptions {
  /** Signal that drops the question while it waits for its turn. A question that has begun is not stopped. */
  readonly signal?: AbortSignal | undefined;
  /** Most questions that may wait already, 0 to 256: with more, `ERR_ATTESTATION_BUSY`. Default: 256. */
  readonly maxWaiting?: number | undefined;
  /** Caller, such as a connection: a second question of theirs that would wait is `ERR_ATTESTATION_BUSY`. */
  readonly caller?: object | undefined;
}

/** Question that is being asked. */
interface Turn {
  readonly since: number;
  readonly timer: ReturnType<typeof setTimeout>;
}

/** Function that lets one waiting question begin. */
type Begin = (turn: Turn) => void;

/**
 * Queue of questions to a Nitro Secure Module, whose driver serves one at a time and blocks a thread for each of the
 * others. Here one is asked at a time, the number of waiting ones is bounded, and each leaves with its caller.
 *
 * The documents that a client needs for itself wait in a queue of the client's own ({@link nsmQueueOf} is for all
 * others): they come to the module before all that wait here, after the one question that is being asked.
 */
export class NsmQueue {
  readonly #waiting = new Set<Begin>();
  readonly #callers = new Set<object>();
  #running: Turn | undefined;

  /** Number of waiting questions. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Waits for a turn, and asks.
   *
   * @param ask Asks the question
   * @param options Options of the wait
   * @returns The result of `ask`
   * @throws {AttestationError} `ERR_ATTESTATION_BUSY` when too many wait already
   * @throws {unknown} The signal's reason, when it aborts before the turn has come
   */
  async run<T>(ask: () => Promise<T>, options: AttestationOptions = {}): Promise<T> {
    options.signal?.throwIfAborted();
    if (this.#running !== undefined && performance.now() - this.#running.since >= MAX_SILENCE_MS) {
      this.#end(this.#running);
    }
    const turn = this.#running === undefined ? this.#begin() : await this.#wait(options);
    try {
      return await ask();
    } finally {
      this.#end(turn);
    }
  }

  #begin(): Turn {
    const timer = setTimeout(() => this.#end(turn), MAX_SILENCE_MS);
    timer.unref();
    const turn = { since: performance.now(), timer };
    this.#running = turn;
    return turn;
  }

  /** Passes the turn straight to the next question, so that no other slips in between. */
  #end(turn: Turn): void {
    clearTimeout(turn.timer);
    if (this.#running !== turn) return;
    this.#running = undefined;
    const [next] = this.#waiting;
    next?.(this.#begin());
  }

  #wait(options: AttestationOptions): Promise<Turn> {
    // A question without a caller is never a second one.
    const { signal, maxWaiting = MAX_WAITING_QUESTIONS, caller = {} } = options;
    if (this.#waiting.size >= maxWaiting || this.#callers.has(caller)) throw busy();
    const { promise, resolve, reject } = Promise.withResolvers<Turn>();
    const leave = () => {
      this.#waiting.delete(begin);
      this.#callers.delete(caller);
      signal?.removeEventListener("abort", giveUp);
    };
    const begin = (turn: Turn) => {
      leave();
      resolve(turn);
    };
    const giveUp = () => {
      leave();
      reject(signal?.reason);
    };
    this.#waiting.add(begin);
    this.#callers.add(caller);
    signal?.addEventListener("abort", giveUp);
    return promise;
  }
}

/** Queue of this enclave's own module: one driver serves all devices. */
const DEVICE_QUEUE = new NsmQueue();
const queues = new WeakMap<NsmTransport, NsmQueue>();

/**
 * Finds the queue of a module.
 *
 * @param transport Transport to the module
 * @returns The queue in which the questions of all {@link NsmClient}s to that module wait
 */
export function nsmQueueOf(transport: NsmTransport): NsmQueue {
  if (transport instanceof NsmDevice) return DEVICE_QUEUE;
  const known = queues.get(transport);
  if (known !== undefined) return known;
  const queue = new NsmQueue();
  queues.set(transport, queue);
  return queue;
}

function busy(): AttestationError {
  return new AttestationError("BUSY", "Cannot ask the NSM: too many requests wait for it already", {
    hint:
      "The NSM handles one request at a time: are documents asked for faster than it makes them? Try again later",
  });
}
