import process from "node:process";
import { getSystemErrorName } from "node:util";
import { loader } from "#loader";
import { LIBC_SYMBOLS } from "../../ffi/libc_symbols.ts";
import { LoadFailure, type NativeLibrary, type Pointer } from "../../ffi/symbols.ts";
import { LibraryLoadError, SystemCallError } from "../core/errors.ts";
import { openLibrary } from "./open_library.ts";

/** Functions of libc, as ffi/libc_symbols.ts declares them. */
export type Libc = NativeLibrary<typeof LIBC_SYMBOLS>;

let loaded: Libc | undefined;

/**
 * Loads libc on first use, and keeps it.
 *
 * @throws {LibraryLoadError} When this is not Linux, or FFI is not permitted
 */
export function libc(): Libc {
  return loaded ??= loadLibc();
}

function loadLibc(): Libc {
  const failures: string[] = [];
  for (const path of loader.libcPaths) {
    try {
      return openLibrary(path, LIBC_SYMBOLS);
    } catch (error) {
      if (!(error instanceof LoadFailure)) throw error;
      failures.push(`${error.path}: ${error.message}`);
    }
  }
  throw new LibraryLoadError(`Cannot load libc: ${failures.join("; ")}`, {
    hint: process.platform === "linux" ? hintOf(failures) : LINUX_ONLY,
  });
}

const LINUX_ONLY = "vsock and the NSM exist on Linux only; elsewhere use the simulator over TCP";

function hintOf(failures: readonly string[]): string {
  const text = failures.join();
  if (text.includes("permission missing")) return "Deno lacks --allow-ffi, for one of these paths or for all";
  return "Is this a Linux with glibc or musl, and does the process run in its own root file system?";
}

/**
 * Makes the error of a system call that failed just now, on this thread.
 *
 * @param action Action that failed: "open /dev/nsm"
 * @param cFunction Name of the C function
 * @param hint The likeliest cause
 * @param nativeCode `errno`, where it was read already
 */
export function systemCallError(
  action: string,
  cFunction: string,
  hint: string,
  nativeCode: number = errno(),
): SystemCallError {
  return new SystemCallError(`Cannot ${action}: ${cFunction} failed with ${errnoName(nativeCode)}`, {
    cFunction,
    nativeCode,
    hint,
  });
}

/** Reads `errno` of this thread. Corresponds to `errno`. */
export function errno(): number {
  const { call } = libc();
  const location = call.__errno_location();
  if (location === null) return 0;
  const value = new Uint8Array(new ArrayBuffer(4));
  call.memcpy(value, location, value.length);
  return new DataView(value.buffer).getInt32(0, true);
}

/**
 * Names an error number: `ENOENT`.
 *
 * @param code Value of `errno`
 */
export function errnoName(code: number): string {
  return code > 0 ? getSystemErrorName(-code) : "an unknown error";
}

/**
 * Encodes text for C: UTF-8 with a NUL at the end.
 *
 * @param text Text without a NUL
 * @throws {TypeError} When a NUL in the text would cut it short
 */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  if (typeof text !== "string") throw new TypeError("A string for C must be a string");
  if (text.includes("\0")) throw new TypeError("A string for C must not contain a NUL");
  return new TextEncoder().encode(`${text}\0`);
}

/**
 * Copies the text at an address.
 *
 * @param pointer A C string
 * @param maxLength Bytes to read at most
 */
export function readCString(pointer: Pointer<"c_char">, maxLength = 4096): string {
  const { call } = libc();
  const length = call.strnlen(pointer, maxLength);
  return length === 0 ? "" : new TextDecoder().decode(copyFromC(pointer, length));
}

/**
 * Copies C memory into memory that V8 does not move.
 *
 * @param pointer Address of its beginning
 * @param length Length in bytes, at least 1
 */
export function copyFromC(pointer: Pointer<string>, length: number): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(new ArrayBuffer(length));
  libc().call.memcpy(copy, pointer, length);
  return copy;
}
