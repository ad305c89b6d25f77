import { CredentialsError } from "../../lib/core/errors.ts";
import { RateCounter } from "../../lib/policy/rate.ts";
import type { CredentialAction } from "../actions.ts";
import type { Logger } from "./log.ts";
import type { Outcome } from "./metrics.ts";
import type { Refusals, RequestRecord } from "./request_record.ts";

/** How requests end that a caller can have by the thousand at next to no cost. */
const CHEAP: readonly Outcome[] = ["refused", "denied", "busy"];

/** What costs a caller as little, and succeeds. */
const CHEAP_OPERATIONS: readonly string[] = [
  "SetCredentials",
  "SetOwnCredentials",
] satisfies CredentialAction[];

/**
 * How many lines of cheap requests the log has in a second, of all connections together: whoever connects again after
 * each request would have a line for each. In milliseconds.
 */
const MAX_LINES = 100;
const LINES_PERIOD_MS = 1000;

/** How long repeated refusals are only counted, in milliseconds, before the log has their number. */
const PERIOD_MS = 60_000;

/** How many kinds of refusals have a line of their own on one connection in that time: a caller chooses key names. */
const MAX_KINDS = 32;

/** How much of a key's name tells two kinds apart, in characters. */
const MAX_KEY_LENGTH = 256;

/** What the refusal log is made of. */
export interface RefusalLogParts {
  /** Gets the numbers. */
  readonly logger: Logger;
  /** Of the policy's `recentCount`, in seconds. Default: 60. */
  readonly rateWindowSeconds?: number | undefined;
  /** A clock in milliseconds that never goes back. Default: `performance.now()`. */
  readonly now?: (() => number) | undefined;
}

/** What was refused on one connection. */
interface Refused {
  readonly rate: RateCounter;
  /** Those that have had a line. */
  readonly kinds: Set<string>;
  /** How many of those kinds came again, by answer. */
  readonly repeated: Map<number | string, number>;
  sinceMs: number;
}

/**
 * The refusals of each connection: how many the policy sees in `recentCount`, and how many lines the log has of them.
 *
 * - They count on their own connection only. On real hardware every caller has CID 3: counted by the CID, one
 *   caller's refusals would use up the rate of all.
 * - The first of a kind (operation, key, outcome and answer) has a line of its own. The others are counted, and
 *   their number is one line: when the connection ends, and at most once a minute before that. Setting credentials
 *   and being told that there are none that KMS takes are counted as well.
 * - All connections together have {@link MAX_LINES} such lines in a second. The rest has one line with its number, once
 *   the second is over and another request ends.
 */
export class RefusalLog implements Refusals {
  readonly #logger: Logger;
  readonly #rateWindowSeconds: number | undefined;
  readonly #now: () => number;
  readonly #byConnection = new WeakMap<object, Refused>();
  /** Requests without a line, and without one that counts them on their connection, by answer. */
  readonly #unwritten = new Map<number | string, number>();
  #linesSinceMs = -Infinity;
  #lines = 0;

  /** @param parts What it is made of */
  constructor({ logger, rateWindowSeconds, now = () => performance.now() }: RefusalLogParts) {
    this.#logger = logger;
    this.#rateWindowSeconds = rateWindowSeconds;
    this.#now = now;
  }

  /**
   * @param connection Identifies it
   * @returns Requests refused on it within the rate's window; those that the policy had permitted count elsewhere
   */
  recentCount(connection: object): number {
    return this.#byConnection.get(connection)?.rate.recentCount(0) ?? 0;
  }

  /**
   * Counts a request that is over, if it was refused, or cost its caller as little.
   *
   * @param record Of the request
   * @param outcome How it ended
   * @param answer What the caller got
   * @returns Whether it is to have a line of its own
   */
  add(record: RequestRecord, outcome: Outcome, answer: number | string): boolean {
    this.#logUnwritten();
    if (!isCheap(record, outcome)) return true;
    const refused = this.#of(record.connection);
    // Whoever comes again, as "busy" asks for, is not to use up the rate by it.
    if (outcome !== "busy" && record.decision?.allowed !== true) refused.rate.reserve(0);
    if (this.#now() - refused.sinceMs >= PERIOD_MS) this.#logRepeated(refused, record);
    const kind = `${record.operation} ${outcome} ${answer} ${record.keyId?.slice(0, MAX_KEY_LENGTH)}`;
    if (isNew(refused.kinds, kind) && this.#hasRoom()) return true;
    refused.repeated.set(answer, (refused.repeated.get(answer) ?? 0) + 1);
    return false;
  }

  /**
   * Logs how many refusals were repeated on a connection, if there were any.
   *
   * @param connection Identifies it
   * @param origin What is known of it
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
