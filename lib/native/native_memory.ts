import type { Pointer } from "../../ffi/symbols.ts";
import { SystemCallError } from "../core/errors.ts";
import { Handle } from "./handle.ts";
import { copyFromC, libc } from "./libc.ts";

/**
 * Memory of libc at an address that stays fixed for C. Wiped before it is freed.
 *
 * Corresponds to `calloc`, `explicit_bzero` and `free`.
 */
export class NativeMemory extends Handle<"void"> {
  /** Length in bytes. */
  readonly length: number;

  private constructor(pointer: Pointer<"void">, length: number) {
    super("NativeMemory", pointer, (address) => {
      libc().call.explicit_bzero(address, length);
      libc().call.free(address);
    });
    this.length = length;
  }

  /**
   * Allocates memory.
   *
   * @param length Length in bytes, at least 1
   * @returns Zeroed memory
   */
  static create(length: number): NativeMemory {
    const pointer = libc().call.calloc(1, length);
    if (pointer !== null) return new NativeMemory(pointer, length);
    throw new SystemCallError(`Cannot allocate ${length} bytes: calloc returned NULL`, {
      cFunction: "calloc",
      hint: "Is the enclave out of memory?",
    });
  }

  /** Address and length, for a struct that points here. */
  get extent(): { address: bigint; length: number } {
    return { address: this.pointer, length: this.length };
  }

  /**
   * Writes bytes at the beginning.
   *
   * @param bytes The bytes, 1 to `length`
   */
  write(bytes: Uint8Array<ArrayBuffer>): void {
    if (bytes.length > this.length) throw new RangeError("More bytes than the memory has");
    libc().call.memmove(this.pointer, bytes, bytes.length);
  }

  /**
   * Copies bytes from the beginning.
   *
   * @param length Number of bytes, 1 to `length`
   * @returns A copy
   */
  read(length: number): Uint8Array<ArrayBuffer> {
    if (length > this.length) throw new RangeError("More bytes than the memory has");
    return copyFromC(this.pointer, length);
  }
}
