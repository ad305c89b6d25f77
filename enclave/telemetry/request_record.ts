import { randomUUID } from "node:crypto";
import { type Principal, principalText } from "../../lib/policy/principal.ts";
import type { Logger } from "./log.ts";
import type { LoggedCredentials } from "../../lib/aws/logged_credentials.ts";
import { cut, describeFailure, describePrincipal, type RequestLine, round } from "./request_line.ts";
import type { Metrics, Outcome, Protocol } from "./metrics.ts";
import {
  formatTraceparent,
  parseTraceparent,
  spanIdOf,
  type TraceContext,
  traceIdOf,
} from "./trace_context.ts";

/** Counter of what is refused on each connection, as `RefusalLog` is. */
export interface Refusals {
  /** Counts a caller's requests refused on a connection within the rate's window. */
  recentCount(connection: object, caller: string): number;
  /** Counts a request that is over, if it was refused; returns whether it gets a line of its own. */
  add(record: RequestRecord, outcome: Outcome, answer: number | string): boolean;
  /** Logs the number of repeated refusals on a connection that ends, if there were any. */
  end(connection: object, origin: Pick<RequestRecord, "protocol" | "cid">): void;
}

/** Destination of requests beside the log, such as an exporter. */
export interface RequestSink {
  /**
   * Takes a request that is over; never waits and never throws.
   *
   * @param record Record of the request
   * @param line Line that the log has of it, or would have
   * @param isMinor Whether anybody can cause it by the thousand, and it tells little: it repeats a refusal, or is one of
   *   the questions that machines ask all the time
   */
  take(record: RequestRecord, line: RequestLine, isMinor: boolean): void;
}

/** Destination of request records. */
export interface RequestLog {
  /** Logger that gets one line for each request, except for repeated refusals. */
  readonly logger: Logger;
  /** Metrics that count each request. */
  readonly metrics: Metrics;
  /** Counter of refusals, which keeps repeated ones out of the log. */
  readonly refusals: Refusals;
  /** Gets each request as well. Default: nothing does. */
  readonly sink?: RequestSink | undefined;
}

/** Connection that a request came over. */
export interface CallerConnection {
  /** Whether its peer sends no more, and may be gone. */
  readonly hasEnded?: boolean;
}

/** Caller of a request. */
export interface Caller {
  /** Aborts when the caller goes away before the answer. */
  readonly gone?: AbortSignal;
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

/**
 * Record of one request, which becomes one line of the log when the request is over. It has no field for a plaintext,
 * a secret key or a ciphertext, so none can get there.
 */
export class RequestRecord {
  /** Id, made here and never taken from the caller. */
  readonly id: string = randomUUID();
  /** Protocol that it came over. */
  readonly protocol: Protocol;
  /** CID of the caller. */
  readonly cid: number;
  /** Connection that it came over. */
  readonly connection: CallerConnection;
  /** Name of the operation. */
  operation = "Other";
  /** Key that the request names, if it names one. */
  keyId: string | undefined;
  /** SHA-256 of the ciphertext, hex. */
  ciphertextSha256: string | undefined;
  /** Credentials that the request sets, described. */
  credentials: LoggedCredentials | undefined;
  /** Seconds after which the caller may try again, while KMS throttles. */
  retryAfterSeconds: number | undefined;
  /** Decision of the policy, if it was asked. */
  decision: Decision | undefined;
  /** Error of the request, if it failed. */
  failure: unknown;
  /** Status of the answer inside of a sealed one, which is 200 outside. */
  sealedStatus: number | undefined;
  readonly #caller: Caller | undefined;
  readonly #startedAt = performance.now();
  #policyMs: number | undefined;
  #trace: TraceContext | undefined;
  #principal: Principal | undefined;
  #done = false;

  /**
   * Starts the clock.
   *
   * @param protocol Protocol that the request came over
   * @param cid CID of the caller
   * @param caller Caller of the request, as far as it can be known whether they are there
   * @param connection Connection that it came over. Default: one of its own
   */
  constructor(protocol: Protocol, cid: number, caller?: Caller, connection: CallerConnection = {}) {
    this.protocol = protocol;
    this.cid = cid;
    this.#caller = caller;
    this.connection = connection;
  }

  /** Signal that aborts when the caller goes away before the answer, where that can be known; made when it is asked for. */
  get gone(): AbortSignal | undefined {
    return this.#caller?.gone;
  }

  /** Caller of the request: whoever comes from the CID, unless it was proved who it is. */
  get principal(): Principal {
    return this.#principal ?? { type: "Caller", cid: this.cid };
  }

  /**
   * Notes who it was proved to be. Set once, before the policy is asked.
   *
   * @throws {Error} When it was set before
   */
  set principal(principal: Principal) {
    if (this.#principal !== undefined) throw new Error("The principal of a request is set once");
    this.#principal = principal;
  }

  /**
   * Key that requests take turns by. One whose caller proved who they are counts as that caller's, over whatever
   * connection it came. All others count by connection, and all whose peers have ended their direction as one, since a peer that
   * asks and leaves can have as many as it likes.
   */
  get turnsBy(): object | string {
    if (this.#principal !== undefined && this.#principal.type !== "Caller") {
      return principalText(this.#principal);
    }
    return this.connection.hasEnded === true ? ENDED : this.connection;
  }

  /** Trace that the caller named; undefined when they named none. */
  get trace(): TraceContext | undefined {
    return this.#trace;
  }

  /**
   * Takes the trace that the caller names, or none: whatever is malformed is left aside.
   *
   * @param header Header `traceparent` of the request
   */
  continueTrace(header: string | undefined): void {
    this.#trace = parseTraceparent(header);
  }

  /** Id of the trace, 32 hex digits: the caller's, or one that begins with this request. */
  get traceId(): string {
    return this.#trace?.traceId ?? traceIdOf(this.id);
  }

  /** Id of the request's own span, 16 hex digits. */
  get spanId(): string {
    return spanIdOf(this.id);
  }

  /** Header `traceparent` for what is asked of others on behalf of the request. */
  get traceparent(): string {
    return formatTraceparent(this.traceId, this.spanId, this.#trace?.flags ?? 1);
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
  finish({ logger, metrics, refusals, sink }: RequestLog, outcome: Outcome, answer: number | string): void {
    if (this.#done) return;
    this.#done = true;
    const ms = performance.now() - this.#startedAt;
    metrics.countRequest(this.protocol, this.operation, outcome, ms / 1000);
    if (this.#policyMs !== undefined) metrics.countDecision(this.#policyMs / 1000);
    const isRepeated = !refusals.add(this, outcome, answer);
    const isFailure = outcome === "failed" || outcome === "timeout";
    const isRoutine = outcome === "ok" && ROUTINE.includes(this.operation);
    const level = isFailure ? "error" : isRoutine ? "debug" : "info";
    const isLogged = !isRepeated && logger.isLevelEnabled(level);
    if (!isLogged && sink === undefined) return;
    const line = this.#line(outcome, answer, ms);
    if (isLogged) logger[level](line, "request");
    sink?.take(this, line, isRepeated || isRoutine);
  }

  #line(outcome: Outcome, answer: number | string, ms: number): RequestLine {
    const { id, protocol, cid, operation, keyId, ciphertextSha256, credentials, decision, failure } = this;
    return {
      id,
      // Behind the id, where whoever reads the beginning of the line finds it.
      ...(this.#trace !== undefined && { trace: this.#trace.traceId, parentSpan: this.#trace.parentSpanId }),
      protocol,
      cid,
      caller: this.#principal === undefined ? undefined : describePrincipal(this.#principal),
      operation,
      key: cut(keyId),
      ciphertextSha256,
      credentials,
      decision: decision === undefined ? undefined : {
        ...decision,
        reason: cut(decision.reason),
        determining: decision.determining.slice(0, 8).map(cut),
      },
      outcome,
      answer,
      failure: failure === undefined ? undefined : describeFailure(failure),
      policyMs: this.#policyMs === undefined ? undefined : round(this.#policyMs),
      ms: round(ms),
    };
  }
}

/** Operations that machines ask for all the time, and that are of no interest when they go well. */
const ROUTINE: readonly string[] = ["Health", "Ready", "Metrics", "Info", "OpenApi", "OpenApiPage"];
