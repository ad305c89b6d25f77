import { allocateOffHeap, type SecretBytes } from "../core/secret_bytes.ts";
import type { Libcrypto } from "../native/libcrypto.ts";
import { GCM_TAG_BYTES, OpensslGcm as KeyedGcm } from "../native/openssl_cipher.ts";
import type { Gcm } from "./gcm.ts";

/** Directions of {@link KeyedGcm}. */
type Direction = "forSealing" | "forOpening";

/** Nothing secret, to work on. */
const ZEROS = { key: allocateOffHeap(32), nonce: allocateOffHeap(12), text: allocateOffHeap(1024) };

/** Memory for what comes of it. */
const UNUSED = allocateOffHeap(ZEROS.text.length);

/**
 * AES-256-GCM of OpenSSL. It reads and writes the memory it is given and no other: what it makes is nowhere else. Its
 * last block would stay in the processor's registers, which the runtime may write to a stack: so each piece of work
 * ends with one that is no secret. Not guaranteed: that the runtime has not done so in between.
 *
 * C keeps the last key, prepared for one direction, and overwrites it for the next. So a key that is used again and
 * again is expanded once, and a message that is neither ended nor cancelled leaves nothing behind in C but this one.
 */
export class OpensslGcm implements Gcm {
  readonly #libcrypto: Libcrypto;
  /** Context for each direction, made for the first message and kept: making one takes longer than a short message. */
  readonly #contexts: Partial<Record<Direction, KeyedGcm>> = {};
  #last: { readonly key: SecretBytes; readonly direction: Direction; readonly gcm: KeyedGcm } | undefined;
  readonly #overwriter: KeyedGcm;

  /**
   * Starts without a key.
   *
   * @param libcrypto The library
   */
  constructor(libcrypto: Libcrypto) {
    this.#libcrypto = libcrypto;
    this.#overwriter = KeyedGcm.forOpening(libcrypto, ZEROS.key);
  }

  seal(
    key: SecretBytes,
    nonce: Uint8Array<ArrayBuffer>,
    associated: Uint8Array<ArrayBuffer>,
    plaintext: Uint8Array<ArrayBuffer>,
    target: Uint8Array<ArrayBuffer>,
  ): void {
    const { length } = plaintext;
    const tag = target.subarray(length, length + GCM_TAG_BYTES);
    this.#with(key, "forSealing").seal(nonce, associated, plaintext, target.subarray(0, length), tag);
  }

  open(
    key: SecretBytes,
    nonce: Uint8Array<ArrayBuffer>,
    associated: Uint8Array<ArrayBuffer>,
    sealed: Uint8Array<ArrayBuffer>,
    target: Uint8Array<ArrayBuffer>,
  ): boolean {
    const { length } = target;
    const tag = sealed.subarray(length);
    return this.#with(key, "forOpening").open(nonce, associated, sealed.subarray(0, length), tag, target);
  }

  rest(): void {
    this.#overwriter.overwriteRegisters(ZEROS.nonce, ZEROS.text, UNUSED);
  }

  forget(key: SecretBytes): void {
    if (this.#last?.key === key) this.#drop();
  }

  #with(key: SecretBytes, direction: Direction): KeyedGcm {
    const { bytes } = key;
    if (this.#last?.key === key && this.#last.direction === direction) return this.#last.gcm;
    this.#drop();
    const gcm = this.#contexts[direction] ??= KeyedGcm[direction](this.#libcrypto, ZEROS.key);
    this.#rekey(gcm, direction, bytes);
    this.#last = { key, direction, gcm };
    return gcm;
  }

  #drop(): void {
    if (this.#last === undefined) return;
    const { direction, gcm } = this.#last;
    this.#last = undefined;
    this.#rekey(gcm, direction, ZEROS.key);
  }

  /** Gives a context another key. One that does not take it is freed, with whatever it has. */
  #rekey(gcm: KeyedGcm, direction: Direction, key: Uint8Array<ArrayBuffer>): void {
    try {
      gcm.rekey(key);
    } catch (error) {
      delete this.#contexts[direction];
      gcm[Symbol.dispose]();
      throw error;
    }
  }
}
