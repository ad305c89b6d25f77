import type { Pointer } from "../../ffi/symbols.ts";
import { disposeAll } from "../core/dispose_all.ts";
import { DisposedError } from "../core/errors.ts";
import { runBlocking } from "./blocking_calls.ts";
import { Handle } from "./handle.ts";
import { copyFromC, cString } from "./libc.ts";
import type { Libcrypto } from "./libcrypto.ts";
import { NativeMemory } from "./native_memory.ts";
import { checkRsa, KeyContext, RSA_2048_BYTES, RsaOpening } from "./openssl_rsa_opening.ts";

/** Length of an RSA-2048 public key as SPKI DER, in bytes. */
export const RSA_2048_SPKI_BYTES = 294;

/** Length of the secret that RSA-OAEP carries here, in bytes. */
const CONTENT_KEY_BYTES = 32;

/** Place of the modulus in the SPKI, after its sign byte. The exponent, 65537, follows it. */
const MODULUS_OFFSET = 33;

const POINTER_BYTES = 8;

class KeyHandle extends Handle<"EVP_PKEY"> {
  static take(pointer: Pointer<"EVP_PKEY">, libcrypto: Libcrypto): KeyHandle {
    return new KeyHandle("OpensslRsaKey", pointer, libcrypto.call.EVP_PKEY_free);
  }
}

/**
 * RSA-2048 key pair that is made in C memory and never leaves it: there is no way to export its private half. OpenSSL
 * wipes it when it is freed.
 *
 * It counts its users: a key pair that is disposed while C works with it is freed when C returns.
 *
 * Not guaranteed: that a worker thread which is terminated frees anything. What C then still writes to is not freed
 * either.
 *
 * Corresponds to `EVP_PKEY_generate`, `i2d_PUBKEY`, `EVP_PKEY_decrypt`, `RSA_padding_check_PKCS1_OAEP_mgf1` and
 * `EVP_PKEY_free`.
 */
export class OpensslRsaKey implements Disposable {
  /** Public key as SPKI DER, 294 bytes. */
  readonly publicKey: Uint8Array<ArrayBuffer>;
  readonly #libcrypto: Libcrypto;
  readonly #key: KeyHandle;
  /** Places for openings that are not in use: as many as have been in flight at once. */
  readonly #idle: RsaOpening[] = [];
  #inUse = 0;
  #disposed = false;

  private constructor(libcrypto: Libcrypto, key: KeyHandle, publicKey: Uint8Array<ArrayBuffer>) {
    this.#libcrypto = libcrypto;
    this.#key = key;
    this.publicKey = publicKey;
  }

  /**
   * Makes a key pair on another thread, in 20 to 350 ms.
   *
   * @param libcrypto The library
   * @throws {OpensslError} When OpenSSL makes none
   */
  static async create(libcrypto: Libcrypto): Promise<OpensslRsaKey> {
    const key = await generate(libcrypto);
    try {
      return new OpensslRsaKey(libcrypto, key, exportPublicKey(libcrypto, key));
    } catch (error) {
      key[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Opens what was encrypted by RSAES-OAEP with SHA-256 and MGF1 with SHA-256, on this thread (0.3 ms).
   *
   * The time depends on neither the key nor the content. One that cannot be under this key, as it is not below the
   * modulus, fails sooner: anyone can tell that from the public key.
   *
   * @param wrapped The encrypted content, 256 bytes
   * @param content Memory for it, 32 bytes
   * @returns Whether it was 32 bytes, encrypted to this key; if not, `content` means nothing
   * @throws {DisposedError} After dispose
   * @throws {OpensslError} When OpenSSL fails, whatever was encrypted
   */
  unwrap(wrapped: Uint8Array<ArrayBuffer>, content: Uint8Array<ArrayBuffer>): boolean {
    this.#check(wrapped, content);
    if (!this.#isBelowModulus(wrapped)) return false;
    const opening = this.#take();
    try {
      opening.decrypt(wrapped);
      return opening.decode(content);
    } finally {
      this.#putBack(opening);
    }
  }

  /**
   * Opens as {@link OpensslRsaKey.unwrap} does, on another thread, and behind a limit for the whole process. All that
   * C uses there is memory of its own.
   *
   * @param wrapped The encrypted content, 256 bytes
   * @param content Memory for it, 32 bytes, written on this thread
   * @returns See {@link OpensslRsaKey.unwrap}
   * @throws {DisposedError} When the key pair was disposed before
   * @throws {OpensslError} When OpenSSL fails, whatever was encrypted
   */
  async unwrapElsewhere(
    wrapped: Uint8Array<ArrayBuffer>,
    content: Uint8Array<ArrayBuffer>,
  ): Promise<boolean> {
    this.#check(wrapped, content);
    if (!this.#isBelowModulus(wrapped)) return false;
    this.#inUse++;
    try {
      return await runBlocking("opening", () => this.#unwrapElsewhere(wrapped, content));
    } finally {
      this.#inUse--;
      this.#releaseIfUnused();
    }
  }

  /** Frees the key pair, once no call uses it. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#releaseIfUnused();
  }

  async #unwrapElsewhere(
    wrapped: Uint8Array<ArrayBuffer>,
    content: Uint8Array<ArrayBuffer>,
  ): Promise<boolean> {
    const opening = this.#take();
    try {
      await opening.decryptElsewhere(wrapped);
      return opening.decode(content);
    } finally {
      this.#putBack(opening);
    }
  }

  #take(): RsaOpening {
    return this.#idle.pop() ?? RsaOpening.create(this.#libcrypto, this.#key.pointer);
  }

  #putBack(opening: RsaOpening): void {
    opening.wipe();
    this.#idle.push(opening);
  }

  #releaseIfUnused(): void {
    if (this.#disposed && this.#inUse === 0) disposeAll([...this.#idle.splice(0), this.#key]);
  }

  #check(wrapped: Uint8Array, content: Uint8Array): void {
    if (this.#disposed) throw new DisposedError("OpensslRsaKey");
    if (wrapped.length !== RSA_2048_BYTES) throw new RangeError(`wrapped must be ${RSA_2048_BYTES} bytes`);
    if (content.length !== CONTENT_KEY_BYTES) {
      throw new RangeError(`content must be ${CONTENT_KEY_BYTES} bytes`);
    }
  }

  /** Compares two public numbers: C refuses one that is too large, on the thread where its error would stay. */
  #isBelowModulus(wrapped: Uint8Array): boolean {
    for (let index = 0; index < RSA_2048_BYTES; index++) {
      const difference = wrapped[index]! - this.publicKey[MODULUS_OFFSET + index]!;
      if (difference !== 0) return difference < 0;
    }
    return false;
  }
}

async function generate(libcrypto: Libcrypto): Promise<KeyHandle> {
  const { call, callAsync } = libcrypto;
  const pointer = call.EVP_PKEY_CTX_new_from_name(null, cString("RSA"), null);
  using context = KeyContext.take(pointer, "EVP_PKEY_CTX_new_from_name", libcrypto);
  checkRsa(libcrypto, call.EVP_PKEY_keygen_init(context.pointer), "EVP_PKEY_keygen_init");
  const sized = call.EVP_PKEY_CTX_set_rsa_keygen_bits(context.pointer, 8 * RSA_2048_BYTES);
  checkRsa(libcrypto, sized, "EVP_PKEY_CTX_set_rsa_keygen_bits");
  using place = NativeMemory.create(POINTER_BYTES);
  const made = await runBlocking(
    "key-pair",
    () => callAsync.EVP_PKEY_generate(context.pointer, place.pointer),
  );
  checkRsa(libcrypto, made, "EVP_PKEY_generate");
  return KeyHandle.take(readPointer<"EVP_PKEY">(place.read(POINTER_BYTES)), libcrypto);
}

function exportPublicKey(libcrypto: Libcrypto, key: KeyHandle): Uint8Array<ArrayBuffer> {
  // C allocates where the pointer is NULL, and puts the address there.
  const place = new Uint8Array(new ArrayBuffer(POINTER_BYTES));
  const length = libcrypto.call.i2d_PUBKEY(key.pointer, place);
  checkRsa(libcrypto, length === RSA_2048_SPKI_BYTES ? 1 : Math.min(length, 0), "i2d_PUBKEY");
  const pointer = readPointer<"void">(place);
  try {
    return copyFromC(pointer, length);
  } finally {
    libcrypto.call.CRYPTO_free(pointer, null, 0);
  }
}

function readPointer<T extends string>(place: Uint8Array<ArrayBuffer>): Pointer<T> {
  return new DataView(place.buffer).getBigUint64(0, true) as Pointer<T>;
}
