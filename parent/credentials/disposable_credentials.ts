import type { Credentials, OwnedCredentials } from "../../lib/aws/credentials.ts";

/** Options of one call of a provider of the parent's credentials. */
export interface ProvideOptions {
  /** Signal that ends the call early; the promise rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Credentials in bytes, which are wiped on dispose: by whoever asked for them, after copying. */
export interface DisposableCredentials extends Credentials, Disposable {}

/** Provider of the parent's credentials. It keeps none: each call asks. */
export type InstanceCredentialsProvider = (options?: ProvideOptions) => Promise<DisposableCredentials>;

/** Credentials whose bytes their holder wipes. What prints them shows nothing: all is private. */
export class OwnedAnswer implements DisposableCredentials {
  readonly #owned: OwnedCredentials;

  /**
   * Takes credentials over.
   *
   * @param owned The credentials, disposed with this object
   */
  constructor(owned: OwnedCredentials) {
    this.#owned = owned;
  }

  /** See {@link Credentials.accessKeyId}. */
  get accessKeyId(): string {
    return this.#owned.accessKeyId;
  }

  /** Secret access key itself, not a copy. */
  get secretAccessKey(): Uint8Array {
    return this.#owned.secretAccessKey.bytes;
  }

  /** Session token itself, not a copy. */
  get sessionToken(): Uint8Array | undefined {
    return this.#owned.sessionToken?.bytes;
  }

  /** Expiration in milliseconds since 1970, where it is known. */
  get expiration(): number | undefined {
    return this.#owned.expiresAtMs;
  }

  /** Wipes the bytes. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#owned[Symbol.dispose]();
  }
}
