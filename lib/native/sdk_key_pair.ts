import { AWS_RSA_2048 } from "../../ffi/layouts.ts";
import type { Pointer } from "../../ffi/symbols.ts";
import { AttestationError, DisposedError, SdkGenericError } from "../core/errors.ts";
import { runBlocking } from "./blocking_calls.ts";
import { Handle } from "./handle.ts";
import { SdkByteBuffer } from "./sdk_byte_buffer.ts";
import type { SdkLibrary } from "./sdk_library.ts";

class KeyPairHandle extends Handle<"aws_rsa_keypair"> {
  static take(pointer: Pointer<"aws_rsa_keypair">, library: SdkLibrary): KeyPairHandle {
    return new KeyPairHandle("SdkKeyPair", pointer, library.sdk.call.aws_attestation_rsa_keypair_destroy);
  }
}

/**
 * RSA-2048 key pair that never leaves C memory, with the operations of the C SDK on it.
 *
 * It counts its users: a key pair disposed while C works with it is destroyed when C returns, and holds the library
 * until then.
 *
 * Corresponds to `aws_attestation_rsa_keypair_new`, `aws_attestation_request`,
 * `aws_attestation_rsa_decrypt`, `aws_cms_cipher_decrypt` and `aws_attestation_rsa_keypair_destroy`.
 */
export class SdkKeyPair implements Disposable {
  readonly #library: SdkLibrary;
  readonly #handle: KeyPairHandle;
  #callsInC = 0;
  #disposed = false;

  private constructor(library: SdkLibrary, handle: KeyPairHandle) {
    this.#library = library;
    this.#handle = handle;
  }

  /**
   * Makes a key pair on another thread (about 70 ms).
   *
   * @param library Shared for the life of the key pair
   * @throws {SdkGenericError} When C makes none
   */
  static async create(library: SdkLibrary): Promise<SdkKeyPair> {
    const shared = library.share();
    try {
      const { sdk, allocator } = shared;
      const pointer = await runBlocking(
        "other",
        () => sdk.callAsync.aws_attestation_rsa_keypair_new(allocator, AWS_RSA_2048),
      );
      if (pointer === null) throw keyPairFailure();
      return new SdkKeyPair(shared, KeyPairHandle.take(pointer, shared));
    } catch (error) {
      shared[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Asks the NSM for a document with this key pair's public key, on another thread.
   *
   * @returns COSE_Sign1, at most 16 KiB
   * @throws {AttestationError} When the NSM is absent or refuses: C does not say which
   */
  async attestationDocument(): Promise<Uint8Array<ArrayBuffer>> {
    this.#throwIfDisposed();
    this.#callsInC++;
    try {
      const { sdk, allocator } = this.#library;
      using document = SdkByteBuffer.empty(sdk);
      const code = await runBlocking(
        "nsm",
        () => sdk.callAsync.aws_attestation_request(allocator, this.#handle.pointer, document.struct),
      );
      if (code !== 0) throw attestationFailure(code);
      return document.copyOut();
    } finally {
      this.#callsInC--;
      this.#releaseIfUnused();
    }
  }

  /**
   * Opens the parts of one envelope: the content key by RSA-OAEP, the content by AES-256-CBC, both in C memory
   * and on this thread (on another, C's stack would keep the plaintext).
   *
   * @param wrappedKey 256 bytes
   * @param iv 16 bytes: C reads that many, whatever the length
   * @param ciphertext A multiple of 16 bytes, at most 16 KiB: C puts the plaintext on its stack
   * @returns The plaintext; `undefined` when the parts are wrong in any way
   */
  open(
    wrappedKey: Uint8Array<ArrayBuffer>,
    iv: Uint8Array<ArrayBuffer>,
    ciphertext: Uint8Array<ArrayBuffer>,
  ): Uint8Array<ArrayBuffer> | undefined {
    this.#throwIfDisposed();
    const { sdk, allocator } = this.#library;
    // Decrypted afterwards, to no end but to write over the stack where C puts the plaintext: koffi gives C
    // a stack of its own, which nothing else would write over soon. Allocated before, so that nothing can
    // fail once there is a plaintext.
    using zeros = SdkByteBuffer.copyOf(sdk, allocator, ZEROS);
    using zeroKey = SdkByteBuffer.copyOf(sdk, allocator, ZEROS.subarray(0, CONTENT_KEY_BYTES));
    using zeroIv = SdkByteBuffer.copyOf(sdk, allocator, ZEROS.subarray(0, IV_BYTES));
    using nothing = SdkByteBuffer.empty(sdk);
    try {
      return this.#decrypt(wrappedKey, iv, ciphertext);
    } finally {
      sdk.call.aws_cms_cipher_decrypt(zeros.struct, zeroKey.struct, zeroIv.struct, nothing.struct);
      // What either call left behind would be taken for the reason of a later failure.
      sdk.call.aws_reset_error();
    }
  }

  /** Destroys the key pair, once no call uses it. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#releaseIfUnused();
  }

  #decrypt(
    wrappedKey: Uint8Array<ArrayBuffer>,
    iv: Uint8Array<ArrayBuffer>,
    ciphertext: Uint8Array<ArrayBuffer>,
  ): Uint8Array<ArrayBuffer> | undefined {
    const { sdk, allocator } = this.#library;
    using wrapped = SdkByteBuffer.copyOf(sdk, allocator, wrappedKey);
    using vector = SdkByteBuffer.copyOf(sdk, allocator, iv);
    using content = SdkByteBuffer.copyOf(sdk, allocator, ciphertext);
    using contentKey = SdkByteBuffer.empty(sdk);
    const keyCode = sdk.call.aws_attestation_rsa_decrypt(
      allocator,
      this.#handle.pointer,
      wrapped.struct,
      contentKey.struct,
    );
    if (keyCode !== 0 || contentKey.length !== CONTENT_KEY_BYTES) return undefined;
    using plaintext = SdkByteBuffer.empty(sdk);
    const code = sdk.call.aws_cms_cipher_decrypt(
      content.struct,
      contentKey.struct,
      vector.struct,
      plaintext.struct,
    );
    return code === 0 ? plaintext.copyOut() : undefined;
  }

  #releaseIfUnused(): void {
    if (!this.#disposed || this.#callsInC > 0) return;
    using _library = this.#library;
    using _handle = this.#handle;
  }

  #throwIfDisposed(): void {
    if (this.#disposed) throw new DisposedError("SdkKeyPair");
  }
}

const CONTENT_KEY_BYTES = 32;
const IV_BYTES = 16;

/** Zeros, more than the longest plaintext that KMS sends. */
const ZEROS = new Uint8Array(new ArrayBuffer(8192));

/** Makes an error without C's error number, which stays on the thread that made the call. */
function keyPairFailure(): SdkGenericError {
  return new SdkGenericError("Cannot make an RSA key pair: aws_attestation_rsa_keypair_new returned NULL", {
    cFunction: "aws_attestation_rsa_keypair_new",
    hint: "Is the enclave out of memory, or without entropy?",
  });
}

function attestationFailure(code: number): AttestationError {
  return new AttestationError(
    "UNAVAILABLE",
    `Cannot get an attestation document: aws_attestation_request returned ${code}`,
    {
      hint: "Is this an enclave, with /dev/nsm? The C SDK does not tell a missing NSM from one that refuses",
    },
  );
}
