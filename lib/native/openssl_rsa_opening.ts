import { RSA_NO_PADDING } from "../../ffi/libcrypto_symbols.ts";
import type { Pointer } from "../../ffi/symbols.ts";
import { Handle } from "./handle.ts";
import { libc } from "./libc.ts";
import { checkOpenssl, type Libcrypto } from "./libcrypto.ts";
import { NativeMemory } from "./native_memory.ts";

/** Length of an RSA-2048 modulus, and of what is encrypted under it, in bytes. */
export const RSA_2048_BYTES = 256;

const SIZE_BYTES = 8;

/** Context of one use of a key pair at a time, or of making one. */
export class KeyContext extends Handle<"EVP_PKEY_CTX"> {
  /** Takes what C made over. */
  static take(pointer: Pointer<"EVP_PKEY_CTX"> | null, cFunction: string, libcrypto: Libcrypto): KeyContext {
    const checked = checkOpenssl(libcrypto, pointer, { action: "use an RSA key pair", cFunction });
    return new KeyContext("KeyContext", checked, libcrypto.call.EVP_PKEY_CTX_free);
  }
}

/**
 * Place for one opening at a time: a context, which no two threads may use at once, and memory in which C finds what
 * is encrypted and leaves what it was. That is fixed memory of C's own: when a worker thread is terminated in the
 * middle, a runtime frees its arrays under C.
 *
 * The number alone is decrypted by C, and OAEP undone afterwards, by OpenSSL again, in constant time, on the thread of
 * the caller. In one step, OpenSSL would free the padded secret as it is, and leave its errors on the other thread.
 */
export class RsaOpening implements Disposable {
  readonly #libcrypto: Libcrypto;
  readonly #context: KeyContext;
  readonly #memory: NativeMemory;
  readonly #places: { readonly length: Pointer<"void">; readonly padded: Pointer<"void"> };
  /** Beginning of the memory: what is encrypted, and C's `size_t` for the length of what it was. */
  readonly #request: Uint8Array<ArrayBuffer> = new Uint8Array(
    new ArrayBuffer(RSA_2048_BYTES + SIZE_BYTES),
  );

  private constructor(libcrypto: Libcrypto, context: KeyContext, memory: NativeMemory) {
    this.#libcrypto = libcrypto;
    this.#context = context;
    this.#memory = memory;
    this.#places = {
      length: memory.pointer + BigInt(RSA_2048_BYTES) as Pointer<"void">,
      padded: memory.pointer + BigInt(RSA_2048_BYTES + SIZE_BYTES) as Pointer<"void">,
    };
    new DataView(this.#request.buffer).setBigUint64(RSA_2048_BYTES, BigInt(RSA_2048_BYTES), true);
  }

  static create(libcrypto: Libcrypto, key: Pointer<"EVP_PKEY">): RsaOpening {
    const { call } = libcrypto;
    const pointer = call.EVP_PKEY_CTX_new_from_pkey(null, key, null);
    const context = KeyContext.take(pointer, "EVP_PKEY_CTX_new_from_pkey", libcrypto);
    try {
      checkRsa(libcrypto, call.EVP_PKEY_decrypt_init(context.pointer), "EVP_PKEY_decrypt_init");
      const padding = call.EVP_PKEY_CTX_set_rsa_padding(context.pointer, RSA_NO_PADDING);
      checkRsa(libcrypto, padding, "EVP_PKEY_CTX_set_rsa_padding");
      return new RsaOpening(libcrypto, context, NativeMemory.create(2 * RSA_2048_BYTES + SIZE_BYTES));
    } catch (error) {
      context[Symbol.dispose]();
      throw error;
    }
  }

  decrypt(wrapped: Uint8Array): void {
    this.#write(wrapped);
    const { call } = this.#libcrypto;
    checkRsa(this.#libcrypto, call.EVP_PKEY_decrypt(...this.#arguments()), "EVP_PKEY_decrypt");
  }

  async decryptElsewhere(wrapped: Uint8Array): Promise<void> {
    this.#write(wrapped);
    const { callAsync } = this.#libcrypto;
    // There is no error to ask for here: it stays on the thread that made the call.
    checkRsa(this.#libcrypto, await callAsync.EVP_PKEY_decrypt(...this.#arguments()), "EVP_PKEY_decrypt");
  }

  /** Undoes OAEP. The error of a wrong padding is taken out of the queue in constant time, by C and by this. */
  decode(content: Uint8Array<ArrayBuffer>): boolean {
    const { call, algorithms: { sha256 } } = this.#libcrypto;
    const length = call.RSA_padding_check_PKCS1_OAEP_mgf1(
      content,
      content.length,
      this.#places.padded,
      RSA_2048_BYTES,
      RSA_2048_BYTES,
      null,
      0,
      sha256,
      sha256,
    );
    call.ERR_clear_error();
    return length === content.length;
  }

  wipe(): void {
    libc().call.explicit_bzero(this.#places.padded, RSA_2048_BYTES);
  }

  [Symbol.dispose](): void {
    using _memory = this.#memory;
    using _context = this.#context;
  }

  #write(wrapped: Uint8Array): void {
    this.#request.set(wrapped);
    this.#memory.write(this.#request);
  }

  #arguments(): Parameters<Libcrypto["call"]["EVP_PKEY_decrypt"]> {
    const { length, padded } = this.#places;
    return [this.#context.pointer, padded, length, this.#memory.pointer, RSA_2048_BYTES];
  }
}

/** Turns a result that is not positive into an error. */
export function checkRsa(libcrypto: Libcrypto, result: number, cFunction: string): void {
  checkOpenssl(libcrypto, result, { action: "use an RSA key pair", cFunction });
}
