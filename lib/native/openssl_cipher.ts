import { EVP_CTRL_AEAD_GET_TAG, EVP_CTRL_AEAD_SET_TAG } from "../../ffi/libcrypto_symbols.ts";
import type { Pointer } from "../../ffi/symbols.ts";
import { Handle } from "./handle.ts";
import { checkOpenssl, type Libcrypto } from "./libcrypto.ts";
import { checkInput, checkLength, checkOutput } from "./openssl_memory.ts";

/** Length of an AES-256 key, in bytes. */
export const AES_256_KEY_BYTES = 32;
/** Length of an initialisation vector of AES-GCM, in bytes. */
export const GCM_IV_BYTES = 12;
/** Length of a tag of AES-GCM, in bytes. */
export const GCM_TAG_BYTES = 16;
/** Length of a block of AES, and of an initialisation vector of AES-CBC, in bytes. */
export const AES_BLOCK_BYTES = 16;

const [DECRYPT, ENCRYPT] = [0, 1];

/** Bytes of C's and ours: addresses are those of the caller's arrays. */
type Bytes = Uint8Array<ArrayBuffer>;

/** C's `int` for the number of bytes that a call wrote, which is read right after the call. */
const COUNT = new Int32Array(new ArrayBuffer(4));
const WRITTEN: Bytes = new Uint8Array(COUNT.buffer);
/** Memory for what the end of a message in GCM writes: no bytes. */
const NOTHING: Bytes = new Uint8Array(new ArrayBuffer(AES_BLOCK_BYTES));

/** Cipher context with a key; OpenSSL wipes it when it is freed. */
class CipherContext extends Handle<"EVP_CIPHER_CTX"> {
  readonly #libcrypto: Libcrypto;

  private constructor(pointer: Pointer<"EVP_CIPHER_CTX">, libcrypto: Libcrypto) {
    super("OpensslGcm", pointer, libcrypto.call.EVP_CIPHER_CTX_free);
    this.#libcrypto = libcrypto;
  }

  static create(
    libcrypto: Libcrypto,
    cipher: Pointer<"EVP_CIPHER">,
    key: Bytes,
    encrypt: number,
  ): CipherContext {
    checkLength("key", key, AES_256_KEY_BYTES);
    const { call } = libcrypto;
    const pointer = checkOpenssl(libcrypto, call.EVP_CIPHER_CTX_new(), step("EVP_CIPHER_CTX_new"));
    const context = new CipherContext(pointer, libcrypto);
    try {
      context.setKey(cipher, key, encrypt);
      return context;
    } catch (error) {
      context[Symbol.dispose]();
      throw error;
    }
  }

  /** Puts a key in the place of the one before. The cipher is given once. */
  setKey(cipher: Pointer<"EVP_CIPHER"> | null, key: Bytes, encrypt: number): void {
    const { call } = this.#libcrypto;
    this.#check(
      call.EVP_CipherInit_ex2(this.pointer, cipher, key, null, encrypt, null),
      "EVP_CipherInit_ex2",
    );
  }

  /** Begins a message under the key that the context has. */
  begin(iv: Bytes, encrypt: number): void {
    const { call } = this.#libcrypto;
    this.#check(call.EVP_CipherInit_ex2(this.pointer, null, null, iv, encrypt, null), "EVP_CipherInit_ex2");
  }

  /** Works on what may be empty, which C must not see: it would take NULL for the end of the message. */
  update(output: Bytes | null, input: Bytes): number {
    if (input.length === 0) return 0;
    const { call } = this.#libcrypto;
    const result = call.EVP_CipherUpdate(this.pointer, output, WRITTEN, input, input.length);
    this.#check(result, "EVP_CipherUpdate");
    return COUNT[0]!;
  }

  control(type: number, bytes: Bytes): void {
    const { call } = this.#libcrypto;
    const result = call.EVP_CIPHER_CTX_ctrl(this.pointer, type, bytes.length, bytes);
    this.#check(result, "EVP_CIPHER_CTX_ctrl");
  }

  /** Ends what was encrypted: nothing is judged, so a failure is OpenSSL's own. */
  seal(output: Bytes): void {
    const result = this.#libcrypto.call.EVP_CipherFinal_ex(this.pointer, output, WRITTEN);
    this.#check(result, "EVP_CipherFinal_ex");
  }

  /**
   * Ends what was decrypted.
   *
   * @returns Number of bytes at `output`; undefined when tag or padding are wrong
   */
  open(output: Bytes): number | undefined {
    const { call } = this.#libcrypto;
    if (call.EVP_CipherFinal_ex(this.pointer, output, WRITTEN) === 1) return COUNT[0]!;
    call.ERR_clear_error();
    return undefined;
  }

  #check(result: number, cFunction: string): void {
    if (result !== 1) checkOpenssl(this.#libcrypto, Math.min(result, 0), step(cFunction));
  }
}

/**
 * Key of AES-256-GCM in C memory, for any number of messages in one direction.
 *
 * Output goes to the caller's memory: `plaintext` and `ciphertext` may be the same array, but may not overlap
 * otherwise. Not guaranteed: that an initialisation vector is used once; the caller sees to that.
 *
 * Corresponds to `EVP_CIPHER_CTX_new`, `EVP_CipherInit_ex2`, `EVP_CipherUpdate`, `EVP_CipherFinal_ex` and
 * `EVP_CIPHER_CTX_free`.
 */
export class OpensslGcm implements Disposable {
  readonly #libcrypto: Libcrypto;
  readonly #context: CipherContext;
  readonly #encrypt: number;

  private constructor(libcrypto: Libcrypto, key: Bytes, encrypt: number) {
    this.#libcrypto = libcrypto;
    this.#encrypt = encrypt;
    this.#context = CipherContext.create(libcrypto, libcrypto.algorithms.aes256Gcm, key, encrypt);
  }

  /**
   * Copies a key into C memory, to seal with.
   *
   * @param libcrypto The library
   * @param key 32 bytes, which the caller wipes
   * @throws {OpensslError} When OpenSSL fails
   */
  static forSealing(libcrypto: Libcrypto, key: Bytes): OpensslGcm {
    return new OpensslGcm(libcrypto, key, ENCRYPT);
  }

  /**
   * Copies a key into C memory, to open with.
   *
   * @param libcrypto The library
   * @param key 32 bytes, which the caller wipes
   * @throws {OpensslError} When OpenSSL fails
   */
  static forOpening(libcrypto: Libcrypto, key: Bytes): OpensslGcm {
    return new OpensslGcm(libcrypto, key, DECRYPT);
  }

  /**
   * Encrypts and authenticates one message.
   *
   * @param iv 12 bytes, never used with this key before
   * @param additionalData Bytes that are authenticated only, 0 to 2^31 - 1
   * @param plaintext 0 to 2^31 - 1 bytes
   * @param ciphertext Memory of the plaintext's length
   * @param tag Memory of 16 bytes
   * @throws {DisposedError} After dispose
   * @throws {OpensslError} When OpenSSL fails
   */
  seal(iv: Bytes, additionalData: Bytes, plaintext: Bytes, ciphertext: Bytes, tag: Bytes): void {
    checkInput("plaintext", plaintext);
    checkOutput("ciphertext", ciphertext, plaintext);
    this.#begin(ENCRYPT, iv, additionalData, tag);
    this.#context.update(ciphertext, plaintext);
    this.#context.seal(NOTHING);
    this.#context.control(EVP_CTRL_AEAD_GET_TAG, tag);
  }

  /**
   * Authenticates and decrypts one message.
   *
   * @param iv 12 bytes
   * @param additionalData Bytes that are authenticated only, 0 to 2^31 - 1
   * @param ciphertext 0 to 2^31 - 1 bytes
   * @param tag 16 bytes
   * @param plaintext Memory of the ciphertext's length; wiped unless the result is true
   * @returns Whether the message is authentic
   * @throws {DisposedError} After dispose
   * @throws {OpensslError} When OpenSSL fails otherwise
   */
  open(iv: Bytes, additionalData: Bytes, ciphertext: Bytes, tag: Bytes, plaintext: Bytes): boolean {
    let isAuthentic = false;
    checkInput("ciphertext", ciphertext);
    checkOutput("plaintext", plaintext, ciphertext);
    try {
      this.#begin(DECRYPT, iv, additionalData, tag);
      this.#context.update(plaintext, ciphertext);
      this.#context.control(EVP_CTRL_AEAD_SET_TAG, tag);
      return isAuthentic = this.#context.open(NOTHING) !== undefined;
    } finally {
      if (!isAuthentic) wipe(this.#libcrypto, plaintext);
    }
  }

  /**
   * Puts another key in the place of this one, whose schedule and tables OpenSSL overwrites with those of the other.
   *
   * @param key 32 bytes, which the caller wipes
   * @throws {DisposedError} After dispose
   * @throws {OpensslError} When OpenSSL fails
   */
  rekey(key: Bytes): void {
    checkLength("key", key, AES_256_KEY_BYTES);
    this.#context.setKey(null, key, this.#encrypt);
  }

  /**
   * Begins a message and does not end it, so that nothing is authenticated: for input that is no secret, which then is
   * all that the processor's registers hold.
   *
   * @param iv 12 bytes
   * @param input 1 to 2^31 - 1 bytes
   * @param output Memory of the input's length
   * @throws {DisposedError} After dispose
   * @throws {OpensslError} When OpenSSL fails
   */
  overwriteRegisters(iv: Bytes, input: Bytes, output: Bytes): void {
    checkLength("iv", iv, GCM_IV_BYTES);
    checkInput("input", input);
    checkOutput("output", output, input);
    this.#context.begin(iv, this.#encrypt);
    this.#context.update(output, input);
  }

  /** Has OpenSSL wipe and free the key. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#context[Symbol.dispose]();
  }

  #begin(encrypt: number, iv: Bytes, additionalData: Bytes, tag: Bytes): void {
    if (encrypt !== this.#encrypt) {
      throw new TypeError(
        `Cannot ${encrypt === ENCRYPT ? "seal" : "open"}: this key is for the other direction`,
      );
    }
    checkLength("iv", iv, GCM_IV_BYTES);
    checkLength("tag", tag, GCM_TAG_BYTES);
    checkInput("additionalData", additionalData);
    this.#context.begin(iv, encrypt);
    this.#context.update(null, additionalData);
  }
}

/**
 * Decrypts one message of AES-256-CBC with PKCS #7 padding. There is no authentication: every fault of the message is
 * the same answer.
 *
 * @param libcrypto The library
 * @param key 32 bytes
 * @param iv 16 bytes
 * @param ciphertext At most 2^31 - 1 bytes
 * @param plaintext Memory of at least the ciphertext's length, or the same array; wiped unless there is a result
 * @returns Length of the plaintext in bytes; undefined when length or padding are wrong
 * @throws {OpensslError} When OpenSSL fails otherwise
 */
export function openCbc(
  libcrypto: Libcrypto,
  key: Bytes,
  iv: Bytes,
  ciphertext: Bytes,
  plaintext: Bytes,
): number | undefined {
  checkLength("key", key, AES_256_KEY_BYTES);
  checkLength("iv", iv, AES_BLOCK_BYTES);
  checkInput("ciphertext", ciphertext);
  checkOutput("plaintext", plaintext, ciphertext, { orMore: true });
  if (ciphertext.length === 0 || ciphertext.length % AES_BLOCK_BYTES !== 0) return undefined;
  let length: number | undefined;
  try {
    using context = CipherContext.create(libcrypto, libcrypto.algorithms.aes256Cbc, key, DECRYPT);
    context.begin(iv, DECRYPT);
    const written = context.update(plaintext, ciphertext);
    const rest = context.open(plaintext.subarray(written));
    return length = rest === undefined ? undefined : written + rest;
  } finally {
    wipe(libcrypto, length === undefined ? plaintext : plaintext.subarray(length));
  }
}

function wipe({ call }: Libcrypto, bytes: Bytes): void {
  if (bytes.length > 0) call.OPENSSL_cleanse(bytes, bytes.length);
}

function step(cFunction: string): { action: string; cFunction: string } {
  return { action: "use AES", cFunction };
}
