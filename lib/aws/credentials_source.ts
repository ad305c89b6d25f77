import { disposeAll } from "../core/dispose_all.ts";
import {
  type CredentialsProvider,
  disposeOriginal,
  OwnedCredentials,
  type ProvidedCredentials,
} from "./credentials.ts";
import { Deadline } from "../core/deadline.ts";
import { CredentialsError, DisposedError } from "../core/errors.ts";
import { Pauses } from "../core/pauses.ts";
import { ProviderQuestion } from "./provider_question.ts";

/** Clock that the expiration of credentials is judged by. */
export interface Clock {
  /** Tells the time. */
  now(): Date;
  /** Names the clock, for "By … it is 12 o'clock". */
  name(): string;
}

/** Lender of the credentials that sign one call, and of others in the place of those that KMS refuses. */
export interface CredentialsLender {
  /** Lends credentials as {@link CredentialsSource.get} does. */
  get(deadline: Deadline, clock?: Clock, patienceMs?: number): Promise<OwnedCredentials>;
  /** Lends others as {@link CredentialsSource.getOther} does. */
  getOther(used: OwnedCredentials, deadline: Deadline, clock?: Clock): Promise<OwnedCredentials | undefined>;
}

/** Treatment of credentials past their `expiration`: see {@link KmsClientOptions.expiredCredentials}. */
export type ExpiredCredentials = "use" | "refuse";

/** Credentials that have expired, by a clock that may be wrong. */
export class ExpiredCredentialsError extends CredentialsError {
  /** Name of the base class: callers need not tell them apart. */
  override readonly name = "CredentialsError";
}

/** Milliseconds before their expiration at which credentials are refreshed, if they last long enough. */
const MAX_ADVANCE_MS = 300_000;

/** Part of the time that is left when credentials that last less are refreshed. */
const ADVANCE = 0.1;

/** Pauses between questions to a provider that fails, or returns expired credentials. */
const PAUSES = { firstMs: 1000, maxMs: 60_000 };

/**
 * Source of a client's credentials: a copy of given ones, or a provider. A copy of a provider's answer is kept only if
 * it has an expiration; otherwise the next request may need others.
 */
export class CredentialsSource implements CredentialsLender, Disposable {
  readonly #expired: ExpiredCredentials;
  readonly #given: OwnedCredentials | undefined;
  readonly #provider: (() => ProvidedCredentials | Promise<ProvidedCredentials>) | undefined;
  readonly #pauses = new Pauses(PAUSES);
  #kept: { readonly credentials: OwnedCredentials; readonly refreshAtMs: number } | undefined;
  #question: { readonly ordinal: number; readonly question: ProviderQuestion } | undefined;
  #asked = 0;
  #lastAnswered = 0;
  #isPerRequest = false;
  #disposed = false;

  /**
   * Checks and copies given credentials.
   *
   * @param provider Credentials, or a function
   * @param expired Treatment of those past their `expiration`
   * @throws {TypeError} If it is neither, or a part of the credentials is malformed
   */
  constructor(provider: CredentialsProvider, expired: ExpiredCredentials = "use") {
    this.#expired = expired;
    if (typeof provider === "function") this.#provider = provider;
    else this.#given = OwnedCredentials.copyOf(provider);
  }

  /**
   * Gets credentials for one request. It does not wait for a provider while there are some, even past their
   * `expiration`, unless such are refused: the provider is asked in the background, with pauses when it fails.
   *
   * @param deadline Deadline of the wait for the provider
   * @param clock Clock that they expire by. Default: the system's
   * @param patienceMs Milliseconds to wait, all the same, for fresher ones than those past their `expiration`
   * @returns The credentials for one request; the caller disposes its hold
   * @throws {ExpiredCredentialsError} If they expired by that clock, and such are refused
   * @throws {CredentialsError} If there are none, and the provider fails or returns something malformed
   * @throws {DisposedError} After dispose
   */
  async get(deadline: Deadline, clock: Clock = SYSTEM_CLOCK, patienceMs = 0): Promise<OwnedCredentials> {
    this.#throwIfDisposed();
    if (this.#given !== undefined) return this.#share(this.#given, clock, GIVEN_HINT);
    const kept = this.#kept;
    if (kept === undefined) return await this.#ask(deadline, clock);
    if (clock.now().getTime() < kept.refreshAtMs) return kept.credentials.share();
    const isOver = isExpired(kept.credentials, clock);
    if (isOver && this.#expired === "refuse") return await this.#ask(deadline, clock);
    if (this.#pauses.areOver) this.#join(clock);
    if (isOver && patienceMs > 0) await this.#waitFor(patienceMs, deadline);
    return this.#kept === undefined ? await this.#ask(deadline, clock) : this.#kept.credentials.share();
  }

  /**
   * Gets others in the place of those that KMS refuses, whatever their `expiration`.
   *
   * @param used The refused credentials
   * @param deadline Deadline of the wait for the provider
   * @param clock Clock that the others expire by. Default: the system's
   * @returns The credentials for one request, whose hold the caller disposes; `undefined` if there are no others
   * @throws {CredentialsError} As {@link CredentialsSource.get}
   */
  async getOther(
    used: OwnedCredentials,
    deadline: Deadline,
    clock: Clock = SYSTEM_CLOCK,
  ): Promise<OwnedCredentials | undefined> {
    this.#throwIfDisposed();
    if (this.#given !== undefined) return undefined;
    const isStale = this.#kept?.credentials.equals(used) ?? false;
    const other = isStale ? await this.#ask(deadline, clock) : await this.get(deadline, clock);
    if (!other.equals(used)) return other;
    other[Symbol.dispose]();
    return undefined;
  }

  /** Releases the copy, where there is one; it is wiped once no request uses it. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#question = undefined;
    const kept = this.#kept?.credentials;
    this.#kept = undefined;
    disposeAll([this.#given, kept]);
  }

  /**
   * Waits for the provider's answer. Calls share a question, but an answer without an expiration, or one that comes at
   * once, belongs to its asker alone: the credentials of such a provider may depend on the asker.
   */
  async #ask(deadline: Deadline, clock: Clock): Promise<OwnedCredentials> {
    const joined = this.#isPerRequest ? undefined : this.#joinable();
    const answer = await (joined ?? this.#start(clock)).wait(deadline);
    this.#throwIfDisposed();
    if (this.#kept !== undefined) return this.#share(this.#kept.credentials, clock, PROVIDED_HINT);
    if (joined !== undefined) return await this.#ask(deadline, clock);
    try {
      return this.#read(answer, clock);
    } finally {
      disposeOriginal(answer);
    }
  }

  #join(clock: Clock): void {
    if (this.#joinable() === undefined) this.#start(clock);
  }

  #joinable(): ProviderQuestion | undefined {
    const question = this.#question?.question;
    return question?.isJoinable === true ? question : undefined;
  }

  #start(clock: Clock): ProviderQuestion {
    const ordinal = ++this.#asked;
    const question = new ProviderQuestion(this.#provider!, {
      accept: (answer) => this.#accept(answer, ordinal, clock),
      fail: () => {
        this.#forgetQuestion(ordinal);
        this.#pauses.begin();
      },
    });
    if (question.isJoinable) this.#question = { ordinal, question };
    return question;
  }

  #accept(answer: ProvidedCredentials, ordinal: number, clock: Clock): void {
    const owned = this.#read(answer, clock);
    // Without an expiration it is not kept, and its asker reads it once more.
    if (owned.expiresAtMs !== undefined) disposeOriginal(answer);
    this.#forgetQuestion(ordinal);
    // One that hung may be answered after a later one.
    if (ordinal < this.#lastAnswered || this.#disposed) return owned[Symbol.dispose]();
    this.#lastAnswered = ordinal;
    this.#keep(owned, clock);
  }

  #forgetQuestion(ordinal: number): void {
    if (this.#question?.ordinal === ordinal) this.#question = undefined;
  }

  async #waitFor(patienceMs: number, deadline: Deadline): Promise<void> {
    const question = this.#joinable();
    if (question === undefined) return;
    using patience = new Deadline("refresh the credentials", patienceMs, deadline.signal);
    await question.wait(patience).catch(() => deadline.throwIfPassed());
    this.#throwIfDisposed();
  }

  #read(answer: ProvidedCredentials, clock: Clock): OwnedCredentials {
    try {
      using owned = OwnedCredentials.copyOf(answer);
      return this.#share(owned, clock, PROVIDED_HINT);
    } catch (error) {
      throw error instanceof CredentialsError ? error : malformed(error);
    }
  }

  #keep(credentials: OwnedCredentials, clock: Clock): void {
    this.#kept?.credentials[Symbol.dispose]();
    this.#kept = undefined;
    const { expiresAtMs } = credentials;
    this.#isPerRequest = expiresAtMs === undefined;
    if (expiresAtMs === undefined) return credentials[Symbol.dispose]();
    const leftMs = expiresAtMs - clock.now().getTime();
    this.#kept = { credentials, refreshAtMs: expiresAtMs - Math.min(MAX_ADVANCE_MS, leftMs * ADVANCE) };
    // A source in trouble may return expired credentials.
    if (leftMs > 0) this.#pauses.reset();
    else this.#pauses.begin();
  }

  #share(credentials: OwnedCredentials, clock: Clock, hint: string): OwnedCredentials {
    if (this.#expired === "use" || !isExpired(credentials, clock)) return credentials.share();
    const at = new Date(credentials.expiresAtMs ?? 0).toISOString();
    throw new ExpiredCredentialsError(`Cannot sign the request: the credentials expired at ${at}`, {
      hint: `${hint} By ${clock.name()} it is ${clock.now().toISOString()}`,
    });
  }

  #throwIfDisposed(): void {
    if (this.#disposed) throw new DisposedError("CredentialsSource");
  }
}

const SYSTEM_CLOCK: Clock = {
  now: () => new Date(),
  name: () => "this machine's clock, which KMS has not confirmed,",
};

const GIVEN_HINT = "Give a function as `credentials`, so that fresh ones are used.";
const PROVIDED_HINT = "Does the provider return fresh ones?";

function isExpired({ expiresAtMs }: OwnedCredentials, clock: Clock): boolean {
  return expiresAtMs !== undefined && expiresAtMs <= clock.now().getTime();
}

function malformed(error: unknown): CredentialsError {
  const reason = error instanceof TypeError ? error.message : "Cannot use credentials: they cannot be read";
  return new CredentialsError(reason, {
    hint: "Does the provider return what STS or the parent handed out?",
  });
}
