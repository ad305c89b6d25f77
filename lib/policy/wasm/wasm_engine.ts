/**
 * The part of the runtime's WebAssembly that policies need. The types of Node.js alone do not have it, and
 * those of browsers would bring everything else of theirs.
 *
 * @module
 */
import { PolicyLoadError } from "../../core/errors.ts";

/** A compiled module: opaque. */
export type WasmModule = { readonly __wasm: "module" };

/** Functions, memories and globals of an instance. */
export type WasmExports = Readonly<Record<string, unknown>>;

/** An instance's memory. */
export interface WasmMemory {
  /** Another one after the memory has grown. */
  readonly buffer: ArrayBuffer;
  /** @returns The length before, in pages of 64 KiB */
  grow(pages: number): number;
}

/** An instance's table of JavaScript values. */
export interface WasmTable {
  /** Its number of entries. */
  readonly length: number;
  /** @returns The length before */
  grow(entries: number): number;
  /** Puts a value in a place. */
  set(index: number, value: unknown): void;
}

/** An instance's variable of 32 bits. */
export interface WasmGlobal {
  /** What it holds. */
  value: number;
}

/** What an instance imports, by module and name. */
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

/** The runtime's own; there is none where it was switched off. */
export const wasmEngine: WasmEngine = (globalThis as unknown as { WebAssembly: WasmEngine }).WebAssembly;

/** @throws {PolicyLoadError} When the runtime was started without WebAssembly */
export function checkWasmEngine(): void {
  if (wasmEngine !== undefined) return;
  throw new PolicyLoadError("Cannot load the policy: this runtime has no WebAssembly", {
    hint: "Policies run in WebAssembly: is it switched off, by --jitless or --disable-wasm?",
  });
}
