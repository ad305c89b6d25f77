import { type Credentials, type CredentialsProvider, OwnedCredentials } from "./credentials.ts";
import type { Deadline } from "./deadline.ts";
import { CredentialsError, DisposedError } from "./errors.ts";

/** What tells the time that credentials expire by. */
export interface Clock {
  /** The time. */
  now(): Date;
  /** Whose it is, and what is known of it, for "By … it is 12 o'clock". */
  name(): string;
}

/** Credentials that have expired, by a clock that may be wrong. */
export class ExpiredCredentialsError extends CredentialsError {
  /** To callers it is no kind of its own. */
  override readonly name = "CredentialsError";
}

/** Credentials are refreshed this long before they expire, in milliseconds, if they last long enough. */
const MAX_ADVANCE_MS = 300_000;

/** Of credentials that last less, this part of the time is left when they are refreshed. */
const ADVANCE = 0.1;

/** A provider that has not answered a refresh for this long, in milliseconds, is asked anew. */
const MAX_REFRESH_MS = 30_000;

/**
 * Where a client's credentials come from: a copy of those it was given, or a provider. Of a provider's answer a
 * copy is kept only if it says when it expires; otherwise the next request may have to use others.
 */
export class CredentialsSource implements Disposable {
  readonly #given: OwnedCredentials | undefined;
  readonly #provider: (() => Credentials | Promise<Credentials>) | undefined;
  #kept: { readonly credentials: OwnedCredentials; refreshAtMs: number } | undefined;
  #refresh: Refresh | undefined;
  #disposed = false;

  /**
   * @param provider Credentials, which are checked and copied now, or a function
   * @throws {TypeError} If it is neither, or a part of the credentials is malformed
   */
  constructor(provider: CredentialsProvider) {
    if (typeof provider === "function") this.#provider = provider;
    else this.#given = OwnedCredentials.copyOf(provider);
  }

  /**
   * @param deadline When to stop waiting for the provider
   * @param clock By which they expire. Default: the system's
   * @returns A copy for one request; the caller disposes it
   * @throws {ExpiredCredentialsError} If they expired by that clock
   * @throws {CredentialsError} If the provider fails or returns something malformed
   * @throws {DisposedError} After dispose
   */
  async get(deadline: Deadline, clock: Clock = SYSTEM_CLOCK): Promise<OwnedCredentials> {
    this.#throwIfDisposed();
    if (this.#given !== undefined) return copyUnlessExpired(this.#given, clock, GIVEN_HINT);
    const kept = this.#kept;
    if (kept === undefined) return await this.#askForOne(deadline, clock);
    if (clock.now().getTime() < kept.refreshAtMs) return kept.credentials.clone();
    const refreshed = this.#refreshKept(clock);
    if (!isExpired(kept.credentials, clock)) return kept.credentials.clone();
    return await this.#copyOnce(refreshed, deadline, clock);
  }

  /**
   * Gets others than those that KMS says have expired, whatever their `expiration`.
   *
   * @param used Those
   * @param deadline When to stop waiting for the provider
   * @param clock By which the others expire. Default: the system's
   * @returns A copy for one request, which the caller disposes; `undefined` if there are no others
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
    const other = isStale
      ? await this.#copyOnce(this.#refreshKept(clock), deadline, clock)
      : await this.get(deadline, clock);
    if (!other.equals(used)) return other;
    other[Symbol.dispose]();
    return undefined;
  }

  /** Wipes the copy, where there is one. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#refresh = undefined;
    this.#given?.[Symbol.dispose]();
    this.#keep(undefined, SYSTEM_CLOCK);
  }

  // Each request for itself: whose credentials the provider returns may depend on who asks, until it says that
  // they are to be kept.
  async #askForOne(deadline: Deadline, clock: Clock): Promise<OwnedCredentials> {
    const answer = await deadline.race(this.#ask());
    const owned = copyOfAnswer(answer, clock);
    const keptUntilMs = this.#kept?.credentials.expiresAtMs ?? 0;
    if ((owned.expiresAtMs ?? 0) > keptUntilMs && !this.#disposed) this.#keep(owned.clone(), clock);
    return owned;
  }

  async #copyOnce(refreshed: Promise<void>, deadline: Deadline, clock: Clock): Promise<OwnedCredentials> {
    await deadline.race(refreshed);
    this.#throwIfDisposed();
    if (this.#kept === undefined) return await this.#askForOne(deadline, clock);
    return copyUnlessExpired(this.#kept.credentials, clock, PROVIDED_HINT);
  }

  #refreshKept(clock: Clock): Promise<void> {
    const running = this.#refresh;
    if (running !== undefined && performance.now() - running.startedAt < MAX_REFRESH_MS) return running.done;
    const refresh: Refresh = {
      startedAt: performance.now(),
      done: this.#replaceKept(clock, () => this.#refresh === refresh),
    };
    // Nobody may be waiting.
    refresh.done.catch(() => {});
    this.#refresh = refresh;
    return refresh.done;
  }

  async #replaceKept(clock: Clock, isCurrent: () => boolean): Promise<void> {
    try {
      const owned = copyOfAnswer(await this.#ask(), clock);
      if (isCurrent()) this.#keep(owned, clock);
      else owned[Symbol.dispose]();
    } catch (error) {
      if (isCurrent()) this.#postpone(clock);
      throw error;
    } finally {
      if (isCurrent()) this.#refresh = undefined;
    }
  }

  #keep(credentials: OwnedCredentials | undefined, clock: Clock): void {
    const old = this.#kept?.credentials;
    const expiresAtMs = credentials?.expiresAtMs;
    if (credentials === undefined || expiresAtMs === undefined) {
      this.#kept = undefined;
      credentials?.[Symbol.dispose]();
    } else {
      const leftMs = expiresAtMs - clock.now().getTime();
      this.#kept = { credentials, refreshAtMs: expiresAtMs - Math.min(MAX_ADVANCE_MS, leftMs * ADVANCE) };
    }
    old?.[Symbol.dispose]();
  }

  // Until half of what is left has passed: not with every request.
  #postpone(clock: Clock): void {
    const kept = this.#kept;
    if (kept?.credentials.expiresAtMs === undefined) return;
    kept.refreshAtMs = (clock.now().getTime() + kept.credentials.expiresAtMs) / 2;
  }

  async #ask(): Promise<Credentials> {
    try {
      return await this.#provider!();
    } catch (error) {
      throw new CredentialsError(`Cannot get credentials: the provider failed${nameOf(error)}`, {
        hint: "The provider's own error is withheld, since it may hold secrets; log it inside the provider",
      });
    }
  }

  #throwIfDisposed(): void {
    if (this.#disposed) throw new DisposedError("CredentialsSource");
  }
}

interface Refresh {
  /** Of `performance.now()`. */
  readonly startedAt: number;
  /** Rejects when the provider fails or returns what cannot be used. */
  readonly done: Promise<void>;
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

function copyUnlessExpired(credentials: OwnedCredentials, clock: Clock, hint: string): OwnedCredentials {
  if (!isExpired(credentials, clock)) return credentials.clone();
  const at = new Date(credentials.expiresAtMs ?? 0).toISOString();
  throw new ExpiredCredentialsError(`Cannot sign the request: the credentials expired at ${at}`, {
    hint: `${hint} By ${clock.name()} it is ${clock.now().toISOString()}`,
  });
}

function copyOfAnswer(answer: Credentials, clock: Clock): OwnedCredentials {
  try {
    using owned = OwnedCredentials.copyOf(answer);
    return copyUnlessExpired(owned, clock, PROVIDED_HINT);
  } catch (error) {
    throw error instanceof CredentialsError ? error : malformed(error);
  }
}

// The name and the system's code say what happened; the message may hold a secret.
function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return "";
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  const words = [error.name, code].filter((word) =>
    /^(?:[A-Za-z]{1,40}Error|Error|E[A-Z]{3,14})$/.test(word)
  );
  return words.length === 0 ? "" : ` with ${words.join(" ")}`;
}

function malformed(error: unknown): CredentialsError {
  const reason = error instanceof TypeError ? error.message : "Cannot use credentials: unreadable";
  return new CredentialsError(reason, {
    hint: "Does the provider return what STS or the parent handed out?",
  });
}
