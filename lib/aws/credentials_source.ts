import { disposeAll } from "../core/dispose_all.ts";
import { type CredentialsProvider, OwnedCredentials, type ProvidedCredentials } from "./credentials.ts";
import { Deadline } from "../core/deadline.ts";
import { CredentialsError, DisposedError } from "../core/errors.ts";
import { Pauses } from "../core/pauses.ts";
import { ProviderQuestion } from "./provider_question.ts";

/** What tells the time that credentials expire by. */
export interface Clock {
  /** The time. */
  now(): Date;
  /** Whose it is, and what is known of it, for "By … it is 12 o'clock". */
  name(): string;
}

/** Lender of the credentials that sign one call, and of others in the place of those that KMS refuses. */
export interface CredentialsLender {
  /** See {@link CredentialsSource.get}. */
  get(deadline: Deadline, clock?: Clock, patienceMs?: number): Promise<OwnedCredentials>;
  /** See {@link CredentialsSource.getOther}. */
  getOther(used: OwnedCredentials, deadline: Deadline, clock?: Clock): Promise<OwnedCredentials | undefined>;
}

/** What becomes of credentials past their `expiration`: see {@link KmsClientOptions.expiredCredentials}. */
export type ExpiredCredentials = "use" | "refuse";

/** Credentials that have expired, by a clock that may be wrong. */
export class ExpiredCredentialsError extends CredentialsError {
  /** To callers it is no kind of its own. */
  override readonly name = "CredentialsError";
}

/** Credentials are refreshed this long before they expire, in milliseconds, if they last long enough. */
const MAX_ADVANCE_MS = 300_000;

/** Of credentials that last less, this part of the time is left when they are refreshed. */
const ADVANCE = 0.1;

/** Between questions to a provider that fails, or returns what has expired. */
const PAUSES = { firstMs: 1000, maxMs: 60_000 };

/**
 * Where a client's credentials come from: a copy of those it was given, or a provider. Of a provider's answer a
 * copy is kept only if it says when it expires; otherwise the next request may have to use others.
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
   * @param provider Credentials, which are checked and copied now, or a function
   * @param expired What becomes of those past their `expiration`
   * @throws {TypeError} If it is neither, or a part of the credentials is malformed
   */
  constructor(provider: CredentialsProvider, expired: ExpiredCredentials = "use") {
    this.#expired = expired;
    if (typeof provider === "function") this.#provider = provider;
    else this.#given = OwnedCredentials.copyOf(provider);
  }

  /**
   * Does not wait for a provider while there are credentials, even past their `expiration`, unless those are to be
   * refused: the provider is asked in the background, with pauses when it fails.
   *
   * @param deadline When to stop waiting for the provider
   * @param clock By which they expire. Default: the system's
   * @param patienceMs For how long to wait, all the same, for fresher ones than those past their `expiration`
   * @returns The credentials for one request; the caller disposes its hold
   * @throws {ExpiredCredentialsError} If they expired by that clock, and such are to be refused
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
   * Gets others than those that KMS refuses, whatever their `expiration`.
   *
   * @param used Those
   * @param deadline When to stop waiting for the provider
   * @param clock By which the others expire. Default: the system's
   * @returns The credentials for one request, whose hold the caller disposes; `undefined` if there are no others
   * @throws What {@link CredentialsSource.get} throws
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

  /** Lets go of the copy, where there is one; it is wiped once no request uses it. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#question = undefined;
    const kept = this.#kept?.credentials;
    this.#kept = undefined;
    disposeAll([this.#given, kept]);
  }

  /**
   * Waits for the provider's answer. Calls share a question, but an answer that does not say when it expires is its
   * asker's alone: whose credentials such a provider returns may depend on who asks. So is what comes at once.
   */
  async #ask(deadline: Deadline, clock: Clock): Promise<OwnedCredentials> {
    const joined = this.#isPerRequest ? undefined : this.#joinable();
    const answer = await (joined ?? this.#start(clock)).wait(deadline);
    this.#throwIfDisposed();
    if (this.#kept !== undefined) return this.#share(this.#kept.credentials, clock, PROVIDED_HINT);
    if (joined !== undefined) return await this.#ask(deadline, clock);
    return this.#read(answer, clock);
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
    // A source that is in trouble itself may hand out what has expired.
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
  const reason = error instanceof TypeError ? error.message : "Cannot use credentials: unreadable";
  return new CredentialsError(reason, {
    hint: "Does the provider return what STS or the parent handed out?",
  });
}
