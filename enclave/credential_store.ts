import type { OwnedCredentials } from "../lib/aws/credentials.ts";
import type { CredentialsLender } from "../lib/aws/credentials_source.ts";
import { CredentialsError, KmsError } from "../lib/core/errors.ts";
import { Pauses } from "../lib/core/pauses.ts";

/** State of a store's credentials, for metrics. */
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

/** Credentials as they were set. */
interface Current {
  readonly owned: OwnedCredentials;
  readonly setAt: number;
}

/**
 * The credentials of one scope, the server's or one connection's: set, replaced, and wiped in the end.
 *
 * It remembers that KMS refused them, until others are set. Requests then fail without a trip to KMS, except one
 * after each pause, so that a refusal that passes (credentials that AWS does not know everywhere yet) is not for ever.
 */
export class CredentialStore implements Disposable {
  readonly #pauses = new Pauses(PAUSES);
  #current: Current | undefined;
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

  /** State for metrics. */
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
   * Replaces what was there, which is wiped once no request is signed with it any more.
   *
   * @param credentials Owned from now on
   */
  set(credentials: OwnedCredentials): void {
    this.#letGo();
    this.#current = { owned: credentials, setAt: performance.now() };
  }

  /**
   * Lends the credentials to one request, if they may serve.
   *
   * @returns The lease, which its holder disposes when the request is over
   * @throws {CredentialsError} When none are set, or KMS refused them: but for one request after each pause
   */
  lease(): CredentialsLease {
    if (this.#current === undefined) throw notSet();
    if (this.#refusedWith !== undefined) {
      if (!this.#pauses.areOver) throw refused(this.#refusedWith);
      this.#pauses.begin();
    }
    return new CredentialsLease(this.#current, {
      current: () => this.#current,
      judge: (used, failure) => this.#judge(used, failure),
    });
  }

  /** Lets go of them: they are wiped once no request uses them. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#letGo();
  }

  #judge(used: Current, failure?: unknown): unknown {
    const isRefusal = failure instanceof KmsError && failure.credentialsRefused;
    if (used === this.#current) {
      if (isRefusal) this.#remember(failure.kmsCode);
      else if (failure === undefined || isDenial(failure)) this.#forget();
    }
    return isRefusal ? refused(failure.kmsCode, failure.requestId) : failure;
  }

  #remember(kmsCode: string): void {
    if (this.#refusedWith === undefined) this.#pauses.begin();
    this.#refusedWith = kmsCode;
  }

  #forget(): void {
    this.#refusedWith = undefined;
    this.#pauses.reset();
  }

  #letGo(): void {
    this.#current?.owned[Symbol.dispose]();
    this.#current = undefined;
    this.#forget();
  }
}

/** Ways from a lease back to its store. */
interface Lender {
  current(): Current | undefined;
  judge(used: Current, failure?: unknown): unknown;
}

/**
 * Credentials lent to one request, which keeps them when the store gets others meanwhile. They are wiped when neither
 * the store nor a request holds them any more.
 */
export class CredentialsLease implements CredentialsLender, Disposable {
  readonly #lender: Lender;
  #used: Current;
  #hold: OwnedCredentials;

  /** @internal */
  constructor(used: Current, lender: Lender) {
    this.#lender = lender;
    this.#used = used;
    this.#hold = used.owned.share();
  }

  /**
   * Gives the credentials, past their `expiration` too: KMS decides.
   *
   * @returns A hold of them, for the caller to dispose
   */
  get(): Promise<OwnedCredentials> {
    return Promise.resolve(this.#hold.share());
  }

  /**
   * Gives the credentials that the store has got since, in the place of those that KMS refuses.
   *
   * @param used Those that KMS refuses
   * @returns A hold of the others, for the caller to dispose; `undefined` when the store has no others
   */
  getOther(used: OwnedCredentials): Promise<OwnedCredentials | undefined> {
    const current = this.#lender.current();
    if (current === undefined || current.owned.equals(used)) return Promise.resolve(undefined);
    this.#hold[Symbol.dispose]();
    this.#used = current;
    this.#hold = current.owned.share();
    return this.get();
  }

  /**
   * Waits for a request that is signed with the credentials, and has the store remember KMS's word on them, if they are
   * still those that are set.
   *
   * @param request The request
   * @returns Its result
   * @throws {CredentialsError} When KMS refuses the credentials
   * @throws The failure of the request otherwise
   */
  async judge<T>(request: Promise<T>): Promise<T> {
    try {
      const result = await request;
      this.#lender.judge(this.#used);
      return result;
    } catch (error) {
      throw this.#lender.judge(this.#used, error);
    }
  }

  /** Lets go of the credentials. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#hold[Symbol.dispose]();
  }
}

/**
 * Makes the error of signing before any credentials were set.
 *
 * @returns The error
 */
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
