import { setImmediate } from "node:timers";
import { type Credentials, OwnedCredentials } from "../lib/credentials.ts";
import { CredentialsError } from "../lib/errors.ts";

/**
 * Credentials of a caller, who does not say when they expire: KMS does, when they have, and the caller sends others.
 *
 * With an `expiration` a client would keep them, and sign the requests of other callers with them.
 */
export type PushedCredentials = Omit<Credentials, "expiration"> & { readonly expiration?: undefined };

/** A checked copy of them. */
export type OwnedPushedCredentials = OwnedCredentials & { readonly expiresAtMs: undefined };

/**
 * @param credentials What a caller sent
 * @returns A copy, for the caller to put into a store
 * @throws {TypeError} When a part is missing or malformed, or they say when they expire
 */
export function copyPushed(credentials: PushedCredentials): OwnedPushedCredentials {
  const owned = OwnedCredentials.copyOf(credentials);
  if (isPushed(owned)) return owned;
  owned[Symbol.dispose]();
  throw new TypeError("Cannot use credentials.expiration: expected none");
}

function isPushed(owned: OwnedCredentials): owned is OwnedPushedCredentials {
  return owned.expiresAtMs === undefined;
}

/** The credentials of one scope, the server's or one connection's: set, replaced, and wiped in the end. */
export class CredentialStore implements Disposable {
  #current: OwnedPushedCredentials | undefined;

  /** Whether there are any. */
  get isSet(): boolean {
    return this.#current !== undefined;
  }

  /**
   * Replaces what was there, which is wiped. Requests that run have their own copies.
   *
   * @param credentials Owned from now on
   */
  set(credentials: OwnedPushedCredentials): void {
    this.#wipe();
    this.#current = credentials;
  }

  /**
   * @returns The credentials, for a request to copy before the event loop turns
   * @throws {CredentialsError} When none are set
   */
  get(): PushedCredentials {
    const current = this.#current;
    if (current === undefined) throw notSet();
    return {
      accessKeyId: current.accessKeyId,
      secretAccessKey: current.secretAccessKey.bytes,
      sessionToken: current.sessionToken?.bytes,
    };
  }

  /** Wipes them. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#wipe();
  }

  // Not at once: whoever has just called get() copies in one of the next microtasks.
  #wipe(): void {
    const old = this.#current;
    this.#current = undefined;
    if (old !== undefined) setImmediate(() => old[Symbol.dispose]());
  }
}

/** @returns The error of asking for credentials before any were set */
export function notSet(): CredentialsError {
  return new CredentialsError("Cannot sign the request: no credentials are set", {
    hint: "Has the parent sent them to POST /v1/credentials, or in a SetClient message?",
  });
}
