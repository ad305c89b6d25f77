import { clearTimeout, setTimeout } from "node:timers";
import { AttestationError } from "../core/errors.ts";
import { NsmDevice } from "../native/nsm_device.ts";
import type { NsmTransport } from "./nsm_transport.ts";

/**
 * How long a question to the NSM may take, in milliseconds: the driver's own limit, and some more. One that takes
 * longer holds nobody up any more.
 */
export const MAX_SILENCE_MS = 130_000;

/** How many questions may wait for their turn. */
export const MAX_WAITING_QUESTIONS = 256;

/** How to wait for a module that is asked by others as well. */
export interface AttestationOptions {
  /** Drops the question while it waits for its turn. Once the module is asked, it answers, whoever listens. */
  readonly signal?: AbortSignal | undefined;
  /** How many questions may wait already, 0 to 256: beyond, `ERR_ATTESTATION_BUSY`. Default: 256. */
  readonly maxWaiting?: number | undefined;
  /** Whoever asks, such as a connection: a second question of theirs that would wait is `ERR_ATTESTATION_BUSY`. */
  readonly caller?: object | undefined;
}

/** The question that is being asked. */
interface Turn {
  readonly since: number;
  readonly timer: ReturnType<typeof setTimeout>;
}

/** Lets one waiting question begin. */
type Begin = (turn: Turn) => void;

/**
 * Questions to a Nitro Secure Module: its driver serves one at a time and makes the others block, each on a thread
 * of its own. Here one is asked at a time, what waits is bounded, and leaves with its caller.
 *
 * The documents that a client needs for itself wait in a queue of the client's own ({@link nsmQueueOf} is for all
 * others): they come to the module before whatever waits here, after the one question that is being asked.
 */
export class NsmQueue {
  readonly #waiting = new Set<Begin>();
  readonly #callers = new Set<object>();
  #running: Turn | undefined;

  /** How many questions wait. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * @param ask Asks, once it is this question's turn
   * @param options How to wait for it
   * @returns What `ask` returns
   * @throws {AttestationError} `ERR_ATTESTATION_BUSY` when too many wait already
   * @throws The signal's reason, when it aborts before the turn has come
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

  /** The turn goes straight to the next, so that nobody slips in between. */
  #end(turn: Turn): void {
    clearTimeout(turn.timer);
    if (this.#running !== turn) return;
    this.#running = undefined;
    const [next] = this.#waiting;
    next?.(this.#begin());
  }

  #wait(options: AttestationOptions): Promise<Turn> {
    // Who does not say who they are is nobody's second.
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

/** Questions to this enclave's own module: all devices are one driver's. */
const DEVICE_QUEUE = new NsmQueue();
const queues = new WeakMap<NsmTransport, NsmQueue>();

/**
 * @param transport A way to a module
 * @returns Where the questions of all {@link NsmClient}s to that module wait for each other
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
  return new AttestationError("BUSY", "Cannot ask the NSM: too many questions wait for it already", {
    hint: "It answers one at a time: are documents asked for faster than it makes them? Try again later",
  });
}
