import { setImmediate } from "node:timers";
import type { Credentials, OwnedCredentials } from "../lib/aws/credentials.ts";
import { CredentialsError, KmsError } from "../lib/core/errors.ts";
import { Pauses } from "../lib/core/pauses.ts";

/**
 * Credentials of a store as a client gets them: without their `expiration`. With one a client would keep them, and
 * sign the requests of other callers with them.
 */
export type LentCredentials = Omit<Credentials, "expiration"> & { readonly expiration?: undefined };

/** What metrics tell of the credentials of a store. */
export interface CredentialsState {
  /** Whether there are any. */
  readonly isSet: boolean;
  /** Whether KMS refused them, and has not taken them since. */
  readonly areRefused: boolean;
  /** Seconds since they were set. */
  readonly ageSeconds?: number;
  /** Seconds until their `expiration`, below zero past it. */
  readonly expireInSeconds?: number;
}

/** Between requests that try whether KMS takes refused credentials again: it may have been wrong. */
const PAUSES = { firstMs: 1000, maxMs: 30_000 };

/**
 * The credentials of one scope, the server's or one connection's: set, replaced, and wiped in the end.
 *
 * It remembers that KMS refused them, until others are set. Requests then fail without a trip to KMS, except one
 * after each pause, so that a refusal that passes (credentials that AWS does not know everywhere yet) is not for ever.
 */
export class CredentialStore implements Disposable {
  readonly #pauses = new Pauses(PAUSES);
  #current: { readonly owned: OwnedCredentials; readonly setAt: number } | undefined;
  #refusedWith: string | undefined;

  /** Whether there are any. */
  get isSet(): boolean {
    return this.#current !== undefined;
  }

  /** Whether there are any, and KMS has not refused them. */
  get isUsable(): boolean {
    return this.isSet && this.#refusedWith === undefined;
  }

  /** Whether KMS refused them long enough ago to be asked again. */
  get isTrialDue(): boolean {
    return this.#refusedWith !== undefined && this.#pauses.areOver;
  }

  /** What metrics tell of them. */
  get state(): CredentialsState {
    const current = this.#current;
    if (current === undefined) return { isSet: false, areRefused: false };
    const { expiresAtMs } = current.owned;
    return {
      isSet: true,
      areRefused: this.#refusedWith !== undefined,
      ageSeconds: (performance.now() - current.setAt) / 1000,
      ...(expiresAtMs === undefined ? {} : { expireInSeconds: (expiresAtMs - Date.now()) / 1000 }),
    };
  }

  /**
   * Replaces what was there, which is wiped. Requests that run have their own copies.
   *
   * @param credentials Owned from now on
   */
  set(credentials: OwnedCredentials): void {
    this.#wipe();
    this.#current = { owned: credentials, setAt: performance.now() };
  }

  /**
   * Lets a request pass, if its credentials may serve.
   *
   * @throws {CredentialsError} When none are set, or KMS refused them: but for one request after each pause
   */
  admit(): void {
    if (this.#current === undefined) throw notSet();
    if (this.#refusedWith === undefined) return;
    if (!this.#pauses.areOver) throw refused(this.#refusedWith);
    this.#pauses.begin();
  }

  /**
   * @param lease Notes which credentials they were
   * @returns The credentials, for a request to copy before the event loop turns
   * @throws {CredentialsError} When none are set
   */
  get(lease?: CredentialsLease): LentCredentials {
    if (this.#current === undefined) throw notSet();
    const { owned } = this.#current;
    if (lease !== undefined) lease.lent = owned;
    return {
      accessKeyId: owned.accessKeyId,
      secretAccessKey: owned.secretAccessKey.bytes,
      sessionToken: owned.sessionToken?.bytes,
    };
  }

  /**
   * Remembers what KMS said of credentials, if they are still those that are set.
   *
   * @param lease Which they were
   * @param failure What the request came to; undefined if it succeeded
   * @returns The failure for the caller: that of the credentials, if KMS refused those
   */
  judge({ lent }: CredentialsLease, failure?: unknown): unknown {
    const isRefusal = failure instanceof KmsError && failure.credentialsRefused;
    if (lent === this.#current?.owned) {
      if (isRefusal) this.#remember(failure.kmsCode);
      else if (failure === undefined || isDenial(failure)) this.#forget();
    }
    return isRefusal ? refused(failure.kmsCode, failure.requestId) : failure;
  }

  /** Wipes them. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#wipe();
  }

  #remember(kmsCode: string): void {
    if (this.#refusedWith === undefined) this.#pauses.begin();
    this.#refusedWith = kmsCode;
  }

  #forget(): void {
    this.#refusedWith = undefined;
    this.#pauses.reset();
  }

  // Not at once: whoever has just called get() copies in one of the next microtasks.
  #wipe(): void {
    const old = this.#current?.owned;
    this.#current = undefined;
    this.#forget();
    if (old !== undefined) setImmediate(() => old[Symbol.dispose]());
  }
}

/** Which credentials a request was signed with last: they may be replaced while it runs. */
export interface CredentialsLease {
  /** Only to be compared. */
  lent?: OwnedCredentials;
}

/** @returns The error of asking for credentials before any were set */
export function notSet(): CredentialsError {
  return new CredentialsError("Cannot sign the request: no credentials are set", {
    hint: "Has the parent sent them to POST /v1/credentials, or in a SetClient message?",
  });
}

function refused(kmsCode: string, requestId?: string): CredentialsError {
  const request = requestId === undefined ? "" : ` in request ${requestId}`;
  return new CredentialsError(
    `Cannot sign the request: KMS refused the credentials with ${kmsCode}${request}`,
    {
      hint: "Send new ones to POST /v1/credentials, or in a SetClient message: " +
        "does what sends them on the parent still run, and get fresh ones itself?",
    },
  );
}

/** KMS knows whose the credentials are before it says what they may not do. */
function isDenial(failure: unknown): boolean {
  return failure instanceof KmsError && failure.kmsCode === "AccessDeniedException";
}
