import type { Pointer } from "../../ffi/symbols.ts";
import { SystemCallError } from "../core/errors.ts";
import { Handle } from "./handle.ts";
import { copyFromC, libc } from "./libc.ts";

/**
 * Memory of libc's, for what C must find at a fixed address. Wiped before it is freed.
 *
 * Corresponds to `calloc`, `explicit_bzero` and `free`.
 */
export class NativeMemory extends Handle<"void"> {
  /** In bytes. */
  readonly length: number;

  private constructor(pointer: Pointer<"void">, length: number) {
    super("NativeMemory", pointer, (address) => {
      libc().call.explicit_bzero(address, length);
      libc().call.free(address);
    });
    this.length = length;
  }

  /**
   * @param length In bytes, at least 1
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
   * @param bytes What to put at the beginning, 1 to `length` bytes
   */
  write(bytes: Uint8Array<ArrayBuffer>): void {
    if (bytes.length > this.length) throw new RangeError("More bytes than the memory has");
    libc().call.memmove(this.pointer, bytes, bytes.length);
  }

  /**
   * @param length How many bytes from the beginning, 1 to `length`
   * @returns A copy
   */
  read(length: number): Uint8Array<ArrayBuffer> {
    if (length > this.length) throw new RangeError("More bytes than the memory has");
    return copyFromC(this.pointer, length);
  }
}
