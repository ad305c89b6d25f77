import { loader } from "#loader";
import type { NativeLibrary, SymbolTable } from "../../ffi/symbols.ts";

const PROBE_SYMBOLS = {
  probe_in_use: { parameters: [], result: ["usize", "size_t"] },
  probe_leak: { parameters: [["usize", "size_t bytes"]], result: ["void", "void"] },
} as const satisfies SymbolTable;

/** `memory_probe.c`, loaded into this process. */
export class MemoryProbe {
  readonly #library: NativeLibrary<typeof PROBE_SYMBOLS>;

  /** @param path Path of the compiled library */
  constructor(path: string) {
    this.#library = loader.open(path, PROBE_SYMBOLS, { isolated: true });
  }

  /** Reads the bytes that `malloc` has handed out: key pairs, TLS, buffers outside V8's heap. */
  nativeBytes(): number {
    return this.#library.call.probe_in_use();
  }

  /** Loses a block of so many bytes. */
  leak(bytes: number): void {
    this.#library.call.probe_leak(bytes);
  }
}
