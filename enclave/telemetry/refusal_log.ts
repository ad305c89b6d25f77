import { CredentialsError } from "../../lib/core/errors.ts";
import { principalText } from "../../lib/policy/principal.ts";
import { RateCounter } from "../../lib/policy/rate.ts";
import type { CredentialAction } from "../actions.ts";
import type { Logger } from "./log.ts";
import type { Outcome } from "./metrics.ts";
import type { Refusals, RequestRecord } from "./request_record.ts";

/** Outcomes that a caller can cause by the thousand at almost no cost. */
const CHEAP: readonly Outcome[] = ["refused", "denied", "busy"];

/** Operations that cost a caller as little, and succeed. */
const CHEAP_OPERATIONS: readonly string[] = [
  "SetCredentials",
  "SetOwnCredentials",
] satisfies CredentialAction[];

/**
 * Number of lines of cheap requests in a period, for all connections together: a caller who connects again for each
 * request would get a line for each. The period is in milliseconds.
 */
const MAX_LINES = 100;
const LINES_PERIOD_MS = 1000;

/** Milliseconds for which repeated refusals are only counted, before the log gets their number. */
const PERIOD_MS = 60_000;

/** Number of kinds of refusals with a line of their own on one connection in that time: callers choose key names. */
const MAX_KINDS = 32;

/** Characters of a key's name, or of an access key id, that tell two kinds apart. */
const MAX_KEY_LENGTH = 256;

/** Parts of the refusal log. */
export interface RefusalLogParts {
  /** Logger for the numbers. */
  readonly logger: Logger;
  /** Window of the policy's `recentCount`, in seconds. Default: 60. */
  readonly rateWindowSeconds?: number | undefined;
  /** Clock in milliseconds that never goes back. Default: `performance.now()`. */
  readonly now?: (() => number) | undefined;
}

/** Refusals of one connection. */
interface Refused {
  /** Counts by caller: one connection may carry the requests of many who brought tokens. */
  readonly rate: RateCounter;
  /** Kinds that have had a line. */
  readonly kinds: Set<string>;
  /** Number of repetitions of those kinds, by answer. */
  readonly repeated: Map<number | string, number>;
  sinceMs: number;
}

/**
 * Log of the refusals of each connection: the policy sees their number in `recentCount`, and the log gets few lines.
 *
 * - They count on their own connection, and for their own caller only. On real hardware every peer has CID 3: counted
 *   by CID, the refusals of one caller would use up the rate of all.
 * - The first of a kind (operation, key or access key id, outcome and answer) has a line of its own. The others are counted, and
 *   their number is one line: when the connection ends, and at most once a minute before that. Requests
 *   that set credentials, and refusals for lack of credentials that KMS accepts, are counted, too.
 * - All connections together have {@link MAX_LINES} such lines in a second. The rest gets one line with its number,
 *   once the second is over and another request ends.
 */
export class RefusalLog implements Refusals {
  readonly #logger: Logger;
  readonly #rateWindowSeconds: number | undefined;
  readonly #now: () => number;
  readonly #byConnection = new WeakMap<object, Refused>();
  /** Requests without a line, and without a count on their connection, by answer. */
  readonly #unwritten = new Map<number | string, number>();
  #linesSinceMs = -Infinity;
  #lines = 0;

  /**
   * Starts with nothing counted.
   *
   * @param parts Parts of the log
   */
  constructor({ logger, rateWindowSeconds, now = () => performance.now() }: RefusalLogParts) {
    this.#logger = logger;
    this.#rateWindowSeconds = rateWindowSeconds;
    this.#now = now;
  }

  /**
   * Counts a caller's requests refused on a connection within the rate's window.
   *
   * @param connection The connection
   * @param caller Caller as `principalText` writes it
   * @returns Their number; requests that the policy permitted count elsewhere
   */
  recentCount(connection: object, caller: string): number {
    return this.#byConnection.get(connection)?.rate.recentCount(caller) ?? 0;
  }

  /**
   * Counts a request that is over, if it was refused, or cost its caller as little.
   *
   * @param record Record of the request
   * @param outcome Outcome of the request
   * @param answer Answer that the caller got
   * @returns Whether the request gets a line of its own
   */
  add(record: RequestRecord, outcome: Outcome, answer: number | string): boolean {
    this.#logUnwritten();
    if (!isCheap(record, outcome)) return true;
    const refused = this.#of(record.connection);
    // A caller that tries again, as "busy" asks for, must not use up the rate by it.
    if (outcome !== "busy" && record.decision?.allowed !== true) {
      refused.rate.reserve(principalText(record.principal));
    }
    if (this.#now() - refused.sinceMs >= PERIOD_MS) this.#logRepeated(refused, record);
    const key = (record.keyId ?? record.credentials?.accessKeyId)?.slice(0, MAX_KEY_LENGTH);
    const kind = `${record.operation} ${outcome} ${answer} ${key}`;
    if (isNew(refused.kinds, kind) && this.#hasRoom()) return true;
    refused.repeated.set(answer, (refused.repeated.get(answer) ?? 0) + 1);
    return false;
  }

  /**
   * Logs the number of repeated refusals on a connection, if there were any.
   *
   * @param connection The connection
   * @param origin Protocol and CID of the connection
   */
  end(connection: object, origin: Pick<RequestRecord, "protocol" | "cid">): void {
    const refused = this.#byConnection.get(connection);
    if (refused !== undefined) this.#logRepeated(refused, origin);
  }

  #of(connection: object): Refused {
    const known = this.#byConnection.get(connection);
    if (known !== undefined) return known;
    const rate = new RateCounter({ windowSeconds: this.#rateWindowSeconds, now: this.#now });
    const refused = { rate, kinds: new Set<string>(), repeated: new Map(), sinceMs: this.#now() };
    this.#byConnection.set(connection, refused);
    return refused;
  }

  #logRepeated(refused: Refused, { protocol, cid }: Pick<RequestRecord, "protocol" | "cid">): void {
    const { repeated, kinds } = refused;
    if (repeated.size > 0) {
      if (this.#hasRoom()) {
        this.#logger.info({ protocol, cid, ...summaryOf(repeated) }, "repeated on the same connection");
      } else {
        for (const [answer, count] of repeated) {
          this.#unwritten.set(answer, (this.#unwritten.get(answer) ?? 0) + count);
        }
      }
    }
    repeated.clear();
    kinds.clear();
    refused.sinceMs = this.#now();
  }

  #hasRoom(): boolean {
    if (this.#now() - this.#linesSinceMs >= LINES_PERIOD_MS) {
      this.#linesSinceMs = this.#now();
      this.#lines = 0;
    }
    return ++this.#lines <= MAX_LINES;
  }

  #logUnwritten(): void {
    if (this.#unwritten.size === 0 || this.#now() - this.#linesSinceMs < LINES_PERIOD_MS) return;
    this.#logger.warn(summaryOf(this.#unwritten), "more refusals than the log has lines for");
    this.#unwritten.clear();
  }
}

function isCheap({ operation, failure }: RequestRecord, outcome: Outcome): boolean {
  if (outcome === "ok") return CHEAP_OPERATIONS.includes(operation);
  return CHEAP.includes(outcome) || failure instanceof CredentialsError;
}

function summaryOf(byAnswer: ReadonlyMap<number | string, number>) {
  const count = [...byAnswer.values()].reduce((sum, number) => sum + number, 0);
  return { count, answers: Object.fromEntries(byAnswer) };
}

function isNew(kinds: Set<string>, kind: string): boolean {
  if (kinds.has(kind) || kinds.size >= MAX_KINDS) return false;
  kinds.add(kind);
  return true;
}
