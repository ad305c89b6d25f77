import { AWS_BYTE_BUF, readByteBuf } from "../../ffi/layouts.ts";
import type { Pointer } from "../../ffi/symbols.ts";
import { DisposedError, SdkGenericError } from "../core/errors.ts";
import { copyFromC } from "./libc.ts";
import { checkSdk, type Sdk } from "./sdk_library.ts";

const NOTHING = new Uint8Array(new ArrayBuffer(0));

/**
 * Byte buffer of the C SDK: a zeroed `struct aws_byte_buf` of 32 bytes in our own memory, and the memory that C
 * attaches to it. It is overwritten with zeros on dispose, also after a call that failed.
 *
 * Corresponds to `aws_byte_buf_init`, `aws_byte_buf_write` and `aws_byte_buf_clean_up_secure`.
 */
export class SdkByteBuffer implements Disposable {
  #struct: Uint8Array<ArrayBuffer> | undefined = new Uint8Array(new ArrayBuffer(AWS_BYTE_BUF.size));
  readonly #sdk: Sdk;

  private constructor(sdk: Sdk) {
    this.#sdk = sdk;
  }

  /**
   * Makes a buffer for C to fill.
   *
   * @param sdk The library
   */
  static empty(sdk: Sdk): SdkByteBuffer {
    return new SdkByteBuffer(sdk);
  }

  /**
   * Makes a buffer with a copy of `bytes`.
   *
   * @param sdk The library
   * @param allocator Its allocator
   * @param bytes At least one byte
   * @throws {SdkGenericError} When C has no memory
   */
  static copyOf(
    sdk: Sdk,
    allocator: Pointer<"aws_allocator">,
    bytes: Uint8Array<ArrayBuffer>,
  ): SdkByteBuffer {
    const buffer = new SdkByteBuffer(sdk);
    const hint = "Is the enclave out of memory?";
    checkSdk(sdk, sdk.call.aws_byte_buf_init(buffer.struct, allocator, bytes.length), SdkGenericError, {
      action: "allocate a buffer in C memory",
      cFunction: "aws_byte_buf_init",
      hint,
    });
    try {
      checkSdk(sdk, sdk.call.aws_byte_buf_write(buffer.struct, bytes, bytes.length), SdkGenericError, {
        action: "copy bytes into C memory",
        cFunction: "aws_byte_buf_write",
        hint,
      });
      return buffer;
    } catch (error) {
      buffer[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Struct for C.
   *
   * @throws {DisposedError} After dispose
   */
  get struct(): Uint8Array<ArrayBuffer> {
    if (this.#struct === undefined) throw new DisposedError("SdkByteBuffer");
    return this.#struct;
  }

  /** Bytes in use. */
  get length(): number {
    return readByteBuf(this.struct).len;
  }

  /** Copies the bytes in use into memory that V8 does not move; the caller wipes the copy if it is secret. */
  copyOut(): Uint8Array<ArrayBuffer> {
    const { len, buffer } = readByteBuf(this.struct);
    return len === 0 ? NOTHING : copyFromC(buffer as Pointer<"uint8_t">, len);
  }

  /** Overwrites and frees the memory that C allocated. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    const struct = this.#struct;
    this.#struct = undefined;
    if (struct !== undefined) this.#sdk.call.aws_byte_buf_clean_up_secure(struct);
  }
}
