/**
 * System calls that fail as they are told to, for failures that cannot be had otherwise.
 *
 * @module
 */
import { type Libc, libc } from "../../../lib/native/libc.ts";
import { NativeMemory } from "../../../lib/native/native_memory.ts";

/**
 * Puts other functions in the place of libc's, until it is disposed.
 *
 * @param replacements Functions by the name of the C function
 */
export function replaceCalls(replacements: Partial<Libc["call"]>): Disposable {
  const { call } = libc();
  const names = Object.keys(replacements) as (keyof Libc["call"])[];
  const before = Object.fromEntries(names.map((name) => [name, call[name]]));
  Object.assign(call, replacements);
  return { [Symbol.dispose]: () => void Object.assign(call, before) };
}

/**
 * Has `errno` be one number, until it is disposed.
 *
 * @param code The number
 */
export function fixErrno(code: number): Disposable {
  const memory = NativeMemory.create(4);
  const value = new Uint8Array(new ArrayBuffer(4));
  new DataView(value.buffer).setInt32(0, code, true);
  memory.write(value);
  const { pointer } = memory;
  const replaced = replaceCalls({ __errno_location: () => pointer as never });
  return {
    [Symbol.dispose]() {
      using _memory = memory;
      using _replaced = replaced;
    },
  };
}
