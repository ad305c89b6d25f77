import type { OwnedCredentials } from "../lib/aws/credentials.ts";
import type { CredentialsLender } from "../lib/aws/credentials_source.ts";

/** Credentials as they were set once. */
export interface Generation {
  /** The credentials. */
  readonly owned: OwnedCredentials;
  /** Ordinal number, from 1. */
  readonly ordinal: number;
  /** Time on the clock that never goes back, in milliseconds. */
  readonly setAt: number;
  /** Number of leases that use it. */
  leaseCount: number;
}

/** Ways from a lease back to its store. */
export interface Lender {
  /** Reads the generation in force. */
  current(): Generation | undefined;
  /** Learns how a request ended, and makes the error that its caller gets. */
  judge(used: Generation, failure?: unknown): unknown;
  /** Learns that a lease uses a generation no more. */
  giveBack(used: Generation): void;
}

/**
 * Credentials lent to one request, which keeps them when the store gets others meanwhile. They are wiped when neither
 * the store nor a request holds them any more.
 */
export class CredentialsLease implements CredentialsLender, Disposable {
  readonly #lender: Lender;
  #used: Generation;
  #hold: OwnedCredentials;
  #isOver = false;

  /** @internal */
  constructor(used: Generation, lender: Lender) {
    this.#lender = lender;
    this.#used = used;
    this.#hold = take(used);
  }

  /** Generation of the credentials, from 1. */
  get generation(): number {
    return this.#used.ordinal;
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
    if (this.#isOver || current === undefined || current.owned.equals(used)) {
      return Promise.resolve(undefined);
    }
    this.#letGo();
    this.#used = current;
    this.#hold = take(current);
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
    if (this.#isOver) return;
    this.#isOver = true;
    this.#letGo();
  }

  #letGo(): void {
    this.#hold[Symbol.dispose]();
    this.#lender.giveBack(this.#used);
  }
}

function take(generation: Generation): OwnedCredentials {
  const hold = generation.owned.share();
  generation.leaseCount++;
  return hold;
}
