import type { OwnedCredentials } from "../lib/aws/credentials.ts";
import { CredentialsError, KmsError } from "../lib/core/errors.ts";
import { Pauses } from "../lib/core/pauses.ts";
import { CredentialsLease, type Generation } from "./credentials_lease.ts";
import { CredentialsOlderError } from "./service_errors.ts";

/** State of a store's credentials, for metrics. */
export interface CredentialsState {
  /** Whether there are any. */
  readonly isSet: boolean;
  /** Whether KMS refused them, and has not taken them since. */
  readonly areRefused: boolean;
  /** Generation of the last ones that were set, from 1; 0 when there never were any. */
  readonly generation: number;
  /** Number of generations in memory: those in force, and replaced ones that requests still use. */
  readonly heldCount: number;
  /** Seconds since they were set. */
  readonly ageSeconds?: number;
  /** Seconds until their `expiration`, below zero past it. */
  readonly expireInSeconds?: number;
}

/** Between requests that try whether KMS takes refused credentials again: it may have been wrong. */
const PAUSES = { firstMs: 1000, maxMs: 30_000 };

/** Choice of the caller who sets credentials. */
export interface SetCredentialsOptions {
  /** Whether to set credentials that expire before those in force. Default: false. */
  readonly force?: boolean | undefined;
}

/**
 * The credentials of one scope, the server's or one connection's: set, replaced, and wiped in the end.
 *
 * Each time that they are set makes a generation. A request keeps the one that it began with; a replaced one is wiped
 * once no request uses it. Credentials that expire before those in force are refused, unless they are forced or KMS
 * refused those in force. Credentials without an `expiration` on either side cannot be compared, and are taken.
 *
 * It remembers that KMS refused them, until others are set. Requests then fail without a trip to KMS, except one
 * after each pause, so that a refusal that passes (credentials that AWS does not know everywhere yet) is not for ever.
 */
export class CredentialStore implements Disposable {
  readonly #pauses = new Pauses(PAUSES);
  readonly #held = new Set<Generation>();
  #current: Generation | undefined;
  #setCount = 0;
  #refusedWith: string | undefined;

  /** Whether there are any. */
  get isSet(): boolean {
    return this.#current !== undefined;
  }

  /** Access key id of those in force. */
  get accessKeyId(): string | undefined {
    return this.#current?.owned.accessKeyId;
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
    const counts = { generation: this.#setCount, heldCount: this.#held.size };
    if (current === undefined) return { isSet: false, areRefused: false, ...counts };
    const { expiresAtMs } = current.owned;
    return {
      isSet: true,
      areRefused: this.#refusedWith !== undefined,
      ...counts,
      ageSeconds: (performance.now() - current.setAt) / 1000,
      ...(expiresAtMs === undefined ? {} : { expireInSeconds: (expiresAtMs - Date.now()) / 1000 }),
    };
  }

  /**
   * Replaces what was there, which is wiped once no request is signed with it any more.
   *
   * @param credentials Owned from now on, and wiped when they are refused
   * @param options Whether to set older ones, too
   * @returns Their generation
   * @throws {CredentialsOlderError} When they expire before those in force, which stay
   */
  set(credentials: OwnedCredentials, { force = false }: SetCredentialsOptions = {}): number {
    if (!force && this.#isOlder(credentials)) {
      credentials[Symbol.dispose]();
      throw new CredentialsOlderError();
    }
    this.#letGo();
    this.#current = {
      owned: credentials,
      ordinal: ++this.#setCount,
      setAt: performance.now(),
      leaseCount: 0,
    };
    this.#held.add(this.#current);
    return this.#current.ordinal;
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
      giveBack: (used) => this.#giveBack(used),
    });
  }

  /**
   * Takes a hold of those in force, whatever KMS says of them: for clients of other services.
   *
   * @returns The hold, for the caller to dispose
   * @throws {CredentialsError} When none are set
   */
  hold(): OwnedCredentials {
    if (this.#current === undefined) throw notSet();
    return this.#current.owned.share();
  }

  /** Lets go of them: they are wiped once no request uses them. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#letGo();
  }

  /** Compares what AWS says of both. KMS's own word counts more: anything may replace what it refused. */
  #isOlder({ expiresAtMs = Infinity }: OwnedCredentials): boolean {
    const inForceUntilMs = this.#current?.owned.expiresAtMs ?? -Infinity;
    return this.#refusedWith === undefined && expiresAtMs < inForceUntilMs;
  }

  #giveBack(used: Generation): void {
    used.leaseCount--;
    this.#forgetUnused(used);
  }

  #forgetUnused(generation: Generation): void {
    if (generation.leaseCount === 0 && generation !== this.#current) this.#held.delete(generation);
  }

  #judge(used: Generation, failure?: unknown): unknown {
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
    const replaced = this.#current;
    this.#current = undefined;
    this.#forget();
    if (replaced === undefined) return;
    replaced.owned[Symbol.dispose]();
    this.#forgetUnused(replaced);
  }
}

/**
 * Makes the error of signing before any credentials were set.
 *
 * @returns The error
 */
export function notSet(): CredentialsError {
  return new CredentialsError("Cannot sign the request: no credentials are set", {
    hint:
      "Has the parent sent them to POST /v1/credentials of the control listener, or in a SetClient message?",
  });
}

function refused(kmsCode: string, requestId?: string): CredentialsError {
  const request = requestId === undefined ? "" : ` in request ${requestId}`;
  return new CredentialsError(
    `Cannot sign the request: KMS refused the credentials with ${kmsCode}${request}`,
    {
      hint: "Is the process on the parent that sends credentials running, and does it get fresh ones? " +
        "Send new ones to POST /v1/credentials, or in a SetClient message",
    },
  );
}

/** KMS knows whose the credentials are before it says what they may not do. */
function isDenial(failure: unknown): boolean {
  return failure instanceof KmsError && failure.kmsCode === "AccessDeniedException";
}
