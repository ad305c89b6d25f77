import { SecretBytes } from "../core/secret_bytes.ts";

/** Limits of a data key that is kept. */
export interface CachedKeyLimits {
  /** Milliseconds until it is wiped. */
  readonly maxAgeMs: number;
  /** Messages to encrypt under it. */
  readonly maxMessages: number;
  /** Plaintext bytes to encrypt under it. */
  readonly maxBytes: number;
}

/** Parts of a data key that are no secret. */
export interface CachedDataKeyParts {
  /** Encrypted data key. */
  readonly ciphertext: Uint8Array<ArrayBuffer>;
  /** ARN of the key that it is encrypted under. */
  readonly keyId: string;
}

/** Data key that is kept for more than one message, and wiped when its time is up. */
export class CachedDataKey implements Disposable {
  /** Encrypted data key. */
  readonly ciphertext: Uint8Array<ArrayBuffer>;
  /** ARN of the key that it is encrypted under. */
  readonly keyId: string;
  readonly #plaintext: SecretBytes;
  readonly #limits: CachedKeyLimits;
  readonly #endsAt: number;
  readonly #timer: ReturnType<typeof setTimeout>;
  #messages = 0;
  #bytes = 0;

  /**
   * Takes the plaintext over, and starts the timer, which does not keep the process alive.
   *
   * @param plaintext Plaintext of the data key
   * @param key Encrypted data key, and the ARN of its key
   * @param limits Limits
   * @param onEnd Called when its time is up
   */
  constructor(
    plaintext: SecretBytes,
    { ciphertext, keyId }: CachedDataKeyParts,
    limits: CachedKeyLimits,
    onEnd: () => void,
  ) {
    this.ciphertext = ciphertext;
    this.keyId = keyId;
    this.#plaintext = plaintext;
    this.#limits = limits;
    this.#endsAt = performance.now() + limits.maxAgeMs;
    this.#timer = setTimeout(onEnd, limits.maxAgeMs);
    this.#timer.unref();
  }

  /** Tells whether its time is up: a timer may be late. */
  get isTooOld(): boolean {
    return performance.now() >= this.#endsAt;
  }

  /**
   * Reserves it for one more message, if that is within its limits.
   *
   * @param plaintextBytes Bytes of the message
   */
  reserve(plaintextBytes: number): boolean {
    const { maxMessages, maxBytes } = this.#limits;
    if (this.#messages >= maxMessages || this.#bytes + plaintextBytes > maxBytes) return false;
    this.#messages++;
    this.#bytes += plaintextBytes;
    return true;
  }

  /** Copies the plaintext, for the caller to dispose. */
  copy(): SecretBytes {
    return SecretBytes.copyOf(this.#plaintext.bytes);
  }

  /** Wipes the plaintext. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#plaintext[Symbol.dispose]();
  }
}
