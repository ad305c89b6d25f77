import { toDirect } from "#bridge-accept";
import { Deadline } from "../core/deadline.ts";
import type { Connection, ConnectionStream } from "./connection.ts";
import { breakOff, JoinedPair, type PairOutcome } from "./joined_pair.ts";
import { isOutOfDescriptors } from "./out_of_descriptors.ts";

/**
 * Function that opens the connection to the target of an accepted one. It may read the accepted one, and must put back
 * what it read with `unshift()`; when descriptors run out, it is called again. Its error closes the accepted one. The
 * signal aborts when the time is up, or the accepted one has gone.
 */
export type OpenTarget = (accepted: Connection, signal: AbortSignal) => Promise<ConnectionStream>;

/** Function that is told why a connection was closed before it reached its target. It must not throw. */
export type OnFailure = (error: unknown) => void;

/** Limits of the traffic, in milliseconds. */
export interface TrafficLimits {
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly halfOpenTimeoutMs: number;
}

/** Number of looks for silent pairs within the shorter time-out. */
const LOOKS_PER_TIMEOUT = 4;

/** Milliseconds between two tries to open a target while the process is out of descriptors. */
const RETRY_AFTER_MS = 50;

/** Counts since the start. */
interface Counts {
  acceptedCount: number;
  refusedCount: number;
  failedCount: number;
  brokenCount: number;
  idleCount: number;
}

/** Refusal of a connection for which there is no descriptor. */
class RefusedError extends Error {
  override readonly name = "RefusedError";
}

/** Connections of one bridge, from the moment they are accepted. */
export class BridgeTraffic {
  readonly #open: OpenTarget;
  readonly #limits: TrafficLimits;
  readonly #onFailure: OnFailure;
  readonly #pairs = new Set<JoinedPair>();
  readonly #counts: Counts = {
    acceptedCount: 0,
    refusedCount: 0,
    failedCount: 0,
    brokenCount: 0,
    idleCount: 0,
  };
  readonly #past = { bytesToTarget: 0, bytesFromTarget: 0 };
  /** Connections that wait for descriptors. */
  #waitingCount = 0;
  /** Descriptors that refusals have left to those that wait. */
  #freedCount = 0;
  #openingCount = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  #whenEmpty: (() => void)[] = [];

  /**
   * Starts without any.
   *
   * @param open Connects to the target
   * @param limits Limits in time
   * @param onFailure Told of each target that is not reached
   */
  constructor(open: OpenTarget, limits: TrafficLimits, onFailure: OnFailure) {
    this.#open = open;
    this.#limits = limits;
    this.#onFailure = onFailure;
  }

  /** Counts at this moment. */
  get counters(): Counts & { bytesToTarget: number; bytesFromTarget: number } {
    let { bytesToTarget, bytesFromTarget } = this.#past;
    for (const pair of this.#pairs) {
      bytesToTarget += pair.bytesToTarget;
      bytesFromTarget += pair.bytesFromTarget;
    }
    return { ...this.#counts, bytesToTarget, bytesFromTarget };
  }

  /** Number of accepted connections that are not closed on both sides. */
  get size(): number {
    return this.#pairs.size + this.#openingCount;
  }

  /**
   * Carries one connection until it is closed on both sides.
   *
   * @param connection Connection that was accepted just now
   */
  async carry(connection: Connection): Promise<void> {
    // While others wait for descriptors, every new one would take theirs.
    if (this.#waitingCount > 0) return this.#refuse(connection.stream);
    this.#counts.acceptedCount++;
    this.#openingCount++;
    try {
      const target = await this.#openTarget(connection);
      this.#join(connection.stream, target);
    } catch (error) {
      breakOff(connection.stream);
      if (error instanceof RefusedError) {
        this.#counts.acceptedCount--;
        this.#counts.refusedCount++;
      } else {
        this.#counts.failedCount++;
        this.#onFailure(error);
      }
    } finally {
      this.#openingCount--;
      this.#tellIfEmpty();
    }
  }

  /** Breaks every pair off. Connections whose target is not reached yet follow when their accepted side is closed. */
  breakOffAll(): void {
    for (const pair of this.#pairs) pair.breakOff();
  }

  /** Resolves when there is no connection left. */
  untilEmpty(): Promise<void> {
    if (this.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenEmpty.push(resolve));
  }

  #refuse(stream: ConnectionStream): void {
    this.#counts.refusedCount++;
    breakOff(stream);
  }

  async #openTarget(connection: Connection): Promise<ConnectionStream> {
    const { stream } = connection;
    const gone = new AbortController();
    const leave = () => gone.abort(new Error("Cannot bridge a connection: its peer has gone"));
    stream.once("close", leave);
    using deadline = new Deadline("reach the target", this.#limits.connectTimeoutMs, gone.signal, "connect");
    try {
      if (stream.destroyed) leave();
      deadline.throwIfPassed();
      return await this.#openOnceThereIsRoom(connection, deadline);
    } finally {
      stream.off("close", leave);
    }
  }

  async #openOnceThereIsRoom(connection: Connection, deadline: Deadline): Promise<ConnectionStream> {
    let isWaiting = false;
    try {
      for (;;) {
        try {
          return await this.#open(connection, deadline.signal);
        } catch (error) {
          if (!isOutOfDescriptors(error)) throw error;
        }
        if (!isWaiting) this.#wait();
        isWaiting = true;
        await deadline.sleep(RETRY_AFTER_MS);
      }
    } finally {
      if (isWaiting) this.#waitNoMore();
    }
  }

  /** Lets no more wait than there are pairs that will end, and descriptors of connections refused here. */
  #wait(): void {
    if (this.#waitingCount >= this.#pairs.size + this.#freedCount) {
      this.#freedCount++;
      throw new RefusedError();
    }
    this.#waitingCount++;
  }

  #waitNoMore(): void {
    this.#waitingCount--;
    this.#freedCount = this.#waitingCount === 0 ? 0 : Math.max(0, this.#freedCount - 1);
  }

  #join(accepted: ConnectionStream, target: ConnectionStream): void {
    const pair = new JoinedPair(accepted, toDirect(target));
    this.#pairs.add(pair);
    this.#timer ??= this.#startTimer();
    void pair.closed.then((outcome) => this.#forget(pair, outcome));
  }

  #forget(pair: JoinedPair, outcome: PairOutcome): void {
    this.#pairs.delete(pair);
    this.#past.bytesToTarget += pair.bytesToTarget;
    this.#past.bytesFromTarget += pair.bytesFromTarget;
    if (outcome === "broken") this.#counts.brokenCount++;
    if (outcome === "silent") this.#counts.idleCount++;
    if (this.#pairs.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
    this.#tellIfEmpty();
  }

  #tellIfEmpty(): void {
    if (this.size > 0) return;
    for (const resolve of this.#whenEmpty.splice(0)) resolve();
  }

  #startTimer(): ReturnType<typeof setInterval> {
    const { idleTimeoutMs: idleMs, halfOpenTimeoutMs: halfOpenMs } = this.#limits;
    return setInterval(() => {
      const now = performance.now();
      for (const pair of this.#pairs) pair.endIfSilent(now, { idleMs, halfOpenMs });
    }, Math.ceil(Math.min(idleMs, halfOpenMs) / LOOKS_PER_TIMEOUT));
  }
}
