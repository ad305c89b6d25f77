import { randomUUID } from "node:crypto";
import { EnclaveKmsError, KmsError, TimeoutError } from "../../lib/core/errors.ts";
import type { Logger } from "./log.ts";
import type { Metrics, Outcome, Protocol } from "./metrics.ts";

/** Counter of what is refused on each connection, as `RefusalLog` is. */
export interface Refusals {
  /** Counts requests refused on a connection within the rate's window. */
  recentCount(connection: object): number;
  /** Counts a request that is over, if it was refused; returns whether it gets a line of its own. */
  add(record: RequestRecord, outcome: Outcome, answer: number | string): boolean;
  /** Logs the number of repeated refusals on a connection that ends, if there were any. */
  end(connection: object, origin: Pick<RequestRecord, "protocol" | "cid">): void;
}

/** Destination of request records. */
export interface RequestLog {
  /** Logger that gets one line for each request, except for repeated refusals. */
  readonly logger: Logger;
  /** Metrics that count each request. */
  readonly metrics: Metrics;
  /** Counter of refusals, which keeps repeated ones out of the log. */
  readonly refusals: Refusals;
}

/** Connection that a request came over. */
export interface CallerConnection {
  /** Whether its peer sends no more, and may be gone. */
  readonly hasEnded?: boolean;
}

/** All connections whose peers may be gone, as one that takes turns with the others. */
const ENDED: CallerConnection = {};

/** Decision of the policy, for the log. */
export interface Decision {
  /** Name of the policy. */
  readonly policy: string;
  /** Whether it permitted the request. */
  readonly allowed: boolean;
  /** Reason, for the log only. */
  readonly reason: string;
  /** Ids of the policies that decided. */
  readonly determining: readonly string[];
}

/** Longest text of the caller's, or about it, in the log, in characters. */
const MAX_LOGGED_LENGTH = 256;

/**
 * Record of one request, which becomes one line of the log when the request is over. It has no field for a plaintext,
 * credentials or a ciphertext, so none can get there.
 */
export class RequestRecord {
  /** Id, made here and never taken from the caller. */
  readonly id: string = randomUUID();
  /** Protocol that it came over. */
  readonly protocol: Protocol;
  /** CID of the caller. */
  readonly cid: number;
  /** Signal that aborts when the caller goes away before the answer, where that can be known. */
  readonly gone: AbortSignal | undefined;
  /** Connection that it came over. */
  readonly connection: CallerConnection;
  /** Name of the operation. */
  operation = "Other";
  /** Key that the request names, if it names one. */
  keyId: string | undefined;
  /** SHA-256 of the ciphertext, hex. */
  ciphertextSha256: string | undefined;
  /** Decision of the policy, if it was asked. */
  decision: Decision | undefined;
  /** Error of the request, if it failed. */
  failure: unknown;
  readonly #startedAt = performance.now();
  #policyMs: number | undefined;
  #done = false;

  /**
   * Starts the clock.
   *
   * @param protocol Protocol that the request came over
   * @param cid CID of the caller
   * @param gone Signal that aborts when the caller goes away
   * @param connection Connection that it came over. Default: one of its own
   */
  constructor(protocol: Protocol, cid: number, gone?: AbortSignal, connection: CallerConnection = {}) {
    this.protocol = protocol;
    this.cid = cid;
    this.gone = gone;
    this.connection = connection;
  }

  /**
   * Connection that requests take turns by. All whose peers have ended their direction count as one, since a peer that
   * asks and leaves can have as many as it likes.
   */
  get turnsBy(): CallerConnection {
    return this.connection.hasEnded === true ? ENDED : this.connection;
  }

  /** Notes the time that the policy took, in milliseconds. */
  set policyMs(value: number) {
    this.#policyMs = value;
  }

  /**
   * Logs and counts the request; once. A refusal that only repeats one on the same connection is not logged.
   *
   * @param log Destination
   * @param outcome Outcome of the request
   * @param answer The status or the message that the caller got
   */
  finish({ logger, metrics, refusals }: RequestLog, outcome: Outcome, answer: number | string): void {
    if (this.#done) return;
    this.#done = true;
    const ms = performance.now() - this.#startedAt;
    metrics.countRequest(this.protocol, this.operation, outcome, ms / 1000);
    if (!refusals.add(this, outcome, answer)) return;
    const isFailure = outcome === "failed" || outcome === "timeout";
    const level = isFailure ? "error" : this.#isRoutine(outcome) ? "debug" : "info";
    logger[level](this.#line(outcome, answer, ms), "request");
  }

  #isRoutine(outcome: Outcome): boolean {
    return outcome === "ok" && ["Health", "Ready", "Metrics", "OpenApi"].includes(this.operation);
  }

  #line(outcome: Outcome, answer: number | string, ms: number): Record<string, unknown> {
    const { id, protocol, cid, operation, keyId, ciphertextSha256, decision, failure } = this;
    return {
      id,
      protocol,
      cid,
      operation,
      key: cut(keyId),
      ciphertextSha256,
      decision: decision === undefined ? undefined : {
        ...decision,
        reason: cut(decision.reason),
        determining: decision.determining.slice(0, 8).map(cut),
      },
      outcome,
      answer,
      failure: failure === undefined ? undefined : describeFailure(failure),
      policyMs: round(this.#policyMs),
      ms: round(ms),
    };
  }
}

/**
 * Describes an error for the log. Ours hold no secret. Of others only the name and the place are kept: their messages
 * may repeat their input.
 *
 * @param failure Thrown value
 */
export function describeFailure(failure: unknown): Record<string, unknown> {
  if (failure instanceof KmsError) {
    const { code, kmsCode, requestId, hint } = failure;
    return { code, kmsCode: cut(kmsCode), requestId: cut(requestId), hint };
  }
  if (failure instanceof EnclaveKmsError) {
    const stage = failure instanceof TimeoutError ? { stage: failure.stage } : {};
    return { code: failure.code, ...stage, message: cut(failure.message), hint: failure.hint };
  }
  if (!(failure instanceof Error)) return { name: typeof failure };
  const frames = (failure.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
  return { name: cut(failure.name), at: frames.slice(0, 4).map((line) => line.trim()) };
}

function cut(text: string | undefined): string | undefined {
  if (text === undefined || text.length <= MAX_LOGGED_LENGTH) return text;
  return `${text.slice(0, MAX_LOGGED_LENGTH)}…`;
}

function round(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms * 1000) / 1000;
}
