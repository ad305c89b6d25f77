import type { OwnedCredentials } from "../../lib/aws/credentials.ts";
import { describeCredentials, type LoggedCredentials } from "../../lib/aws/logged_credentials.ts";
import { nameOfFailure } from "../../lib/aws/provider_question.ts";
import { EnclaveKmsError } from "../../lib/core/errors.ts";
import type {
  EnclaveSightState,
  FailedPart,
  PushCounts,
  PushEvent,
  PushFailure,
  PushReason,
  PushState,
} from "./push_events.ts";

/** Record of a pusher: its state, and the events that lead there. It holds no secret. */
export class PushRecord {
  readonly #now: () => number;
  readonly #onEvent: ((event: PushEvent) => void) | undefined;
  readonly #counts = { pushed: 0, unchanged: 0, sourceFailed: 0, sendFailed: 0, watchFailed: 0, restarts: 0 };
  #generation = 0;
  #credentials: LoggedCredentials | undefined;
  #expiresAtMs: number | undefined;
  #isExpiryTold = false;
  #isDelivered = false;
  #pushedAtMs: number | undefined;
  #failure: PushFailure | undefined;
  #enclave: EnclaveSightState = "unknown";
  #missing = "";

  /**
   * Starts empty.
   *
   * @param now The clock, in milliseconds since 1970
   * @param onEvent Called with each event; what it throws is ignored
   */
  constructor(now: () => number, onEvent: ((event: PushEvent) => void) | undefined) {
    this.#now = now;
    this.#onEvent = onEvent;
  }

  /** State at present. */
  get state(): PushState {
    return {
      generation: this.#generation,
      credentials: this.#credentials,
      expiresAtMs: this.#expiresAtMs,
      isDelivered: this.#isDelivered,
      pushedAtMs: this.#pushedAtMs,
      failure: this.#failure,
      enclave: this.#enclave,
      counts: { ...this.#counts } satisfies PushCounts,
    };
  }

  /**
   * Tells that the credentials have expired, once and when they have.
   *
   * @returns Milliseconds until there is something to tell; infinite when there is nothing
   */
  tellExpiry(): number {
    if (this.#expiresAtMs === undefined || this.#isExpiryTold) return Infinity;
    const leftMs = this.#expiresAtMs - this.#now();
    if (leftMs > 0) return leftMs;
    this.#isExpiryTold = true;
    if (this.#credentials !== undefined) this.#tell({ type: "expired", credentials: this.#credentials });
    return Infinity;
  }

  /**
   * Notes other credentials than before.
   *
   * @param credentials The credentials
   */
  noteGeneration(credentials: OwnedCredentials): void {
    this.#credentials = describeCredentials(credentials, ++this.#generation);
    this.#expiresAtMs = credentials.expiresAtMs;
    this.#isExpiryTold = false;
    this.#isDelivered = false;
  }

  /**
   * Notes that the enclave took the credentials.
   *
   * @param reason Reason for the push
   * @param isKept Whether the source failed, and these are older
   */
  notePushed(reason: PushReason, isKept: boolean): void {
    this.#counts.pushed++;
    this.#isDelivered = true;
    this.#pushedAtMs = this.#now();
    if (this.#credentials !== undefined) {
      this.#tell({ type: "pushed", reason, credentials: this.#credentials, isKept });
    }
  }

  /**
   * Notes that the source gave the same credentials again.
   *
   * @param retryInMs Milliseconds until it is asked again
   */
  noteUnchanged(retryInMs: number): void {
    this.#counts.unchanged++;
    if (this.#credentials !== undefined) {
      this.#tell({ type: "unchanged", credentials: this.#credentials, retryInMs });
    }
  }

  /**
   * Notes a failure.
   *
   * @param part Part that failed
   * @param error Anything that was thrown
   * @param retryInMs Milliseconds until the next try
   */
  noteFailure(part: FailedPart, error: unknown, retryInMs: number): void {
    this.#counts[`${part}Failed`]++;
    this.#failure = { part, ...describeFailure(part, error), atMs: this.#now() };
    this.#tell({ type: "failed", failure: this.#failure, retryInMs });
  }

  /**
   * Notes the enclave as it was seen. Only a change is an event.
   *
   * @param state State of the enclave
   * @param missing Names of the parts that it misses
   */
  noteEnclave(state: EnclaveSightState, missing: readonly string[] = []): void {
    const names = missing.join();
    if (state === this.#enclave && names === this.#missing) return;
    this.#enclave = state;
    this.#missing = names;
    this.#tell({ type: "enclave", state, missing });
  }

  /**
   * Notes that the enclave does not have the credentials any more.
   *
   * @param isRestart Whether it booted anew
   */
  noteLost(isRestart: boolean): void {
    this.#isDelivered = false;
    if (isRestart) this.#counts.restarts++;
  }

  #tell(event: PushEvent): void {
    try {
      this.#onEvent?.(event);
    } catch {
      // A log that fails must not end the pushing.
    }
  }
}

const WORDS: Readonly<Record<FailedPart, string>> = {
  source: "Cannot get credentials",
  send: "Cannot send credentials",
  watch: "Cannot look at the enclave",
};

/** Describes an error. Only this library's errors show their message: others may hold a secret. */
function describeFailure(
  part: FailedPart,
  error: unknown,
): Pick<PushFailure, "code" | "message" | "hint"> {
  if (error instanceof EnclaveKmsError) return { code: error.code, message: error.message, hint: error.hint };
  return { code: undefined, message: `${WORDS[part]}: it failed${nameOfFailure(error)}`, hint: undefined };
}
