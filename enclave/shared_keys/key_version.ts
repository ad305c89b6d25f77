import type { SecretBytes } from "../../lib/core/secret_bytes.ts";
import { checkValueOf, publicKeyOf } from "./derive_keys.ts";
import type { ReadRecord } from "./record.ts";
import type { AgedVersion } from "./schedule.ts";

/** Version of a shared key, in clear. */
export interface SharedKeyVersion {
  /** Version, from 1. */
  readonly version: number;
  /**
   * Key itself: 32 bytes, or the private key of a pair, PKCS #8 DER. The shared key owns it, and wipes it when its time
   * is up.
   */
  readonly secret: SecretBytes;
  /** Public key of a pair, SPKI DER; undefined with a data key. */
  readonly publicKey: Uint8Array | undefined;
  /** Value by which the version is known, 32 hex digits. It is not secret: pin it by `pin`. */
  readonly checkValue: string;
  /** PCR0 of the image that made it, 96 hex digits. */
  readonly image: string;
}

/** Version that was loaded, with its record. */
export class LoadedVersion implements SharedKeyVersion, AgedVersion, Disposable {
  /** Key itself. */
  readonly secret: SecretBytes;
  /** Public key of a pair. */
  readonly publicKey: Uint8Array | undefined;
  /** Value by which the version is known. */
  readonly checkValue: string;
  /** Record, as the store has it. */
  readonly record: ReadRecord;
  /** Age that it had when it was loaded, and the time of that by a clock that nobody sets. */
  readonly #loaded: { readonly ageMs: number; readonly atMs: number };

  /**
   * Takes a version over.
   *
   * @param record Record, all of whose facts KMS has confirmed
   * @param secret Key, which is owned from here on
   * @param nowMs Time, milliseconds since 1970
   * @throws The runtime's error when the key is no private key, although the record says so
   */
  constructor(record: ReadRecord, secret: SecretBytes, nowMs: number) {
    this.record = record;
    this.secret = secret;
    this.publicKey = record.spec === "AES_256" ? undefined : publicKeyOf(secret);
    this.checkValue = checkValueOf(secret);
    this.#loaded = { ageMs: Math.max(0, nowMs - record.madeMs), atMs: performance.now() };
  }

  /** Version, from 1. */
  get version(): number {
    return this.record.version;
  }

  /** PCR0 of the image that made it. */
  get image(): string {
    return this.record.image;
  }

  /** Milliseconds since it was made: by the clock of the NSM until it was loaded, and then by none that is set. */
  get ageMs(): number {
    return this.#loaded.ageMs + performance.now() - this.#loaded.atMs;
  }

  /** Wipes the key. */
  [Symbol.dispose](): void {
    this.secret[Symbol.dispose]();
  }
}
