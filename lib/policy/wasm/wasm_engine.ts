/**
 * Types of the part of the runtime's WebAssembly that policies need. The types of Node.js alone do not have it, and
 * those of browsers would bring much more.
 *
 * @module
 */
import { PolicyLoadError } from "../../core/errors.ts";

/** Compiled module, opaque. */
export type WasmModule = { readonly __wasm: "module" };

/** Functions, memories and globals of an instance. */
export type WasmExports = Readonly<Record<string, unknown>>;

/** Memory of an instance. */
export interface WasmMemory {
  /** Buffer of the memory; it is another one after the memory has grown. */
  readonly buffer: ArrayBuffer;
  /** Grows the memory, and returns its former length, in pages of 64 KiB. */
  grow(pages: number): number;
}

/** Table of JavaScript values of an instance. */
export interface WasmTable {
  /** Number of entries. */
  readonly length: number;
  /** Grows the table, and returns its former length. */
  grow(entries: number): number;
  /** Puts a value in a place. */
  set(index: number, value: unknown): void;
}

/** Variable of an instance, of 32 bits. */
export interface WasmGlobal {
  /** Value of the variable. */
  value: number;
}

/** Imports of an instance, by module and name. */
export type WasmImports = Readonly<Record<string, Readonly<Record<string, (...args: never[]) => unknown>>>>;

interface WasmEngine {
  readonly Module: {
    new (bytes: Uint8Array<ArrayBuffer>): WasmModule;
    imports(module: WasmModule): readonly unknown[];
  };
  readonly Instance: new (module: WasmModule, imports?: WasmImports) => { readonly exports: WasmExports };
  readonly Memory: new (options: { initial: number }) => WasmMemory;
  validate(bytes: Uint8Array<ArrayBuffer>): boolean;
}

/** Engine of the runtime; undefined where it was switched off. */
export const wasmEngine: WasmEngine = (globalThis as unknown as { WebAssembly: WasmEngine }).WebAssembly;

/**
 * Checks that the runtime has WebAssembly.
 *
 * @throws {PolicyLoadError} When it was started without
 */
export function checkWasmEngine(): void {
  if (wasmEngine !== undefined) return;
  throw new PolicyLoadError("Cannot load the policy: this runtime has no WebAssembly", {
    hint: "Policies run in WebAssembly: is it switched off, by --jitless or --disable-wasm?",
  });
}
