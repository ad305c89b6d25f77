import type { OwnedCredentials } from "../../lib/aws/credentials.ts";
import { checkFields, checkInteger } from "../../lib/core/checks.ts";
import { MAX_TIMEOUT_MS } from "../../lib/core/deadline.ts";
import type { EnclaveWatch } from "./enclave_watcher.ts";
import type { PushEvent } from "./push_events.ts";
import type { CredentialSource } from "./source_question.ts";

/** Source, enclave and times of a {@link CredentialPusher}. */
export interface CredentialPusherOptions {
  /** Source of credentials, such as `imdsCredentials()`. It keeps nothing: the pusher says when it asks. */
  readonly source: CredentialSource;
  /**
   * Sends credentials to the enclave, and rejects unless it took them. They are the pusher's, and valid until the
   * promise settles or the signal aborts.
   */
  readonly send: (
    credentials: OwnedCredentials,
    options: { readonly signal: AbortSignal },
  ) => Promise<unknown>;
  /** Looks at the enclave, such as `watchReadiness()` makes. Default: nobody looks. */
  readonly watch?: EnclaveWatch | undefined;
  /** Milliseconds before their expiration at which successors are asked for, 0 to 2147483647. Default: 600000. */
  readonly aheadMs?: number | undefined;
  /** Milliseconds for one question to the source, 1 to 2147483647. Default: 30000. */
  readonly sourceTimeoutMs?: number | undefined;
  /** Milliseconds for one sending, 1 to 2147483647. Default: 10000. */
  readonly sendTimeoutMs?: number | undefined;
  /** Milliseconds between two looks at the enclave, each of which may take 5000; 1 to 2147483647. Default: 5000. */
  readonly watchEveryMs?: number | undefined;
  /** Longest pause between tries that fail, in milliseconds, 1 to 2147483647. Default: 60000. */
  readonly maxPauseMs?: number | undefined;
  /** Called with each event, for a log. What it throws is ignored. */
  readonly onEvent?: ((event: PushEvent) => void) | undefined;
  /** This machine's clock, in milliseconds since 1970. Default: `Date.now`. */
  readonly now?: (() => number) | undefined;
}

const FIELDS = [
  ...["source", "send", "watch", "aheadMs", "sourceTimeoutMs", "sendTimeoutMs", "watchEveryMs"],
  ...["maxPauseMs", "onEvent", "now"],
];

type TimeName = "aheadMs" | "sourceTimeoutMs" | "sendTimeoutMs" | "watchEveryMs" | "maxPauseMs";

/** Options with their defaults. */
export type CheckedOptions =
  & Omit<CredentialPusherOptions, TimeName | "now">
  & Readonly<Record<TimeName, number>>
  & { readonly now: () => number };

/**
 * Checks the options of a pusher.
 *
 * @param given Options
 * @throws {TypeError} When an option is unknown or of a wrong type
 * @throws {RangeError} When a number is out of range
 */
export function checkOptions(given: CredentialPusherOptions): CheckedOptions {
  const options = checkFields("credential pusher options", given, FIELDS);
  const { source, send, watch, onEvent, now = Date.now } = options;
  for (const [name, value] of Object.entries({ send, watch, onEvent, now })) {
    const isMissing = value === undefined && name !== "send";
    if (!isMissing && typeof value !== "function") throw new TypeError(`${name} must be a function`);
  }
  if (typeof source !== "function" && (typeof source !== "object" || source === null)) {
    throw new TypeError("source must be credentials or a function that returns them");
  }
  const time = (name: TimeName, standard: number, min: 0 | 1 = 1) =>
    checkInteger(name, options[name], { min, max: MAX_TIMEOUT_MS, default: standard });
  return {
    ...{ source, send, watch, onEvent, now },
    aheadMs: time("aheadMs", 600_000, 0),
    sourceTimeoutMs: time("sourceTimeoutMs", 30_000),
    sendTimeoutMs: time("sendTimeoutMs", 10_000),
    watchEveryMs: time("watchEveryMs", 5000),
    maxPauseMs: time("maxPauseMs", 60_000),
  };
}
