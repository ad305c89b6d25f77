import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import Module from "node:module";
import { LibraryLoadError } from "../../core/errors.ts";
import { ownUrl } from "../../core/own_url.ts";
import { FUEL_EXPORT, meter, type MeterRules, PAGE_BYTES } from "../wasm/meter.ts";
import {
  wasmEngine,
  type WasmGlobal,
  type WasmImports,
  type WasmMemory,
  type WasmModule,
  type WasmTable,
} from "../wasm/wasm_engine.ts";

/** Most memory of Cedar, in pages of 64 KiB: 64 MiB. */
export const CEDAR_MEMORY_PAGES = 1024;

/** Name of the file that holds Cedar, in its package or beside a bundle. */
export const CEDAR_WASM_FILE = "cedar_wasm_bg.wasm";

/** SHA-256 of that file in version 4.13.0: no other module runs without a check of its imports. */
const CEDAR_WASM_SHA256 = "9ed10461f45bceabbe2c364330500378b71f641b28f7c2a1f6e033c9be2f1d9a";

/** Function of Cedar that is called here; it takes JSON and answers JSON. */
export type CedarFunction =
  | "policySetTextToParts"
  | "policyToJson"
  | "preparsePolicySet"
  | "preparseSchema"
  | "statefulIsAuthorized"
  | "validate";

interface CedarExports {
  readonly memory: WasmMemory;
  readonly __wbindgen_externrefs: WasmTable;
  readonly [FUEL_EXPORT]: WasmGlobal;
  __wbindgen_start(): void;
  __wbindgen_malloc(bytes: number, alignment: number): number;
  __wbindgen_exn_store(index: number): void;
  validate(json: string): string;
  statefulIsAuthorized(json: string): string;
  policyToJson(json: string): string;
  policySetTextToParts(pointer: number, bytes: number): string;
  preparseSchema(pointer: number, bytes: number, json: string): string;
  preparsePolicySet(pointer: number, bytes: number, json: string): string;
}

/**
 * Instance of Cedar with its own memory, which holds the schemas and policies that it has parsed.
 *
 * Its imports are the six that wasm-bindgen needs. Two of them, JSON.parse and JSON.stringify, are the identity here:
 * JSON goes in and out as text, so Cedar's glue gets no object with methods.
 *
 * After a call that threw, an instance must not be used again: a trap leaves its stack pointer where it was.
 */
export class CedarInstance {
  readonly #exports: CedarExports;
  readonly #encoder = new TextEncoder();
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

  /**
   * Instantiates the module in 2 ms, and copies an image of 2.5 MiB in another 2 ms. The first instance in a process
   * reads and meters the module, in 150 ms.
   *
   * @param image State of another instance. Default: none, with nothing parsed yet
   */
  constructor(image?: CedarImage) {
    const instance = new wasmEngine.Instance(meteredCedar(), { "./cedar_wasm_bg.js": this.#imports() });
    this.#exports = instance.exports as unknown as CedarExports;
    this.#exports[FUEL_EXPORT].value = START_FUEL;
    this.#exports.__wbindgen_start();
    if (image !== undefined) this.#become(image);
  }

  /**
   * Copies all state that calls have changed: memory, and the length of the table of JavaScript values, which is empty
   * between two calls. The only variable, the stack's pointer, is back at its value after a call that returned.
   *
   * @returns A copy, for instances that have parsed the same
   */
  image(): CedarImage {
    const { memory, __wbindgen_externrefs: table } = this.#exports;
    return { memory: new Uint8Array(memory.buffer.slice(0)), tableEntries: table.length };
  }

  /**
   * Calls a function.
   *
   * @param name The function
   * @param args Argument as JSON (for `policySetTextToParts`, the text of policies), and the name to keep a result
   *   under, for the functions that keep one
   * @param fuel Units that the call may use
   * @returns The answer as JSON, and the units that it took
   * @throws {Error} When Cedar trapped, or ran out of fuel or memory: the instance must be thrown away
   */
  call(name: CedarFunction, args: { json: string; name?: string }, fuel: number): CedarAnswer {
    const wasm = this.#exports;
    wasm[FUEL_EXPORT].value = fuel;
    const json = this.#callByName(name, args);
    return { json, fuelUsed: fuel - wasm[FUEL_EXPORT].value };
  }

  /** Size of its memory, in bytes; it never shrinks. */
  get memoryBytes(): number {
    return this.#exports.memory.buffer.byteLength;
  }

  /** Whether the last call ended because its fuel was used up. */
  get isOutOfFuel(): boolean {
    return this.#exports[FUEL_EXPORT].value < 0;
  }

  #become({ memory: bytes, tableEntries }: CedarImage): void {
    const { memory, __wbindgen_externrefs: table } = this.#exports;
    memory.grow((bytes.length - memory.buffer.byteLength) / PAGE_BYTES);
    new Uint8Array(memory.buffer).set(bytes);
    table.grow(tableEntries - table.length);
  }

  #callByName(name: CedarFunction, { name: key = "", json }: { json: string; name?: string }): string {
    const wasm = this.#exports;
    switch (name) {
      case "preparseSchema":
      case "preparsePolicySet":
        return wasm[name](...this.#pass(key), json);
      case "policySetTextToParts":
        return wasm[name](...this.#pass(json));
      default:
        return wasm[name](json);
    }
  }

  #imports(): WasmImports[string] {
    return {
      "__wbg___wbindgen_is_undefined_c0cca72b82b86f4d": (value: unknown) => value === undefined,
      "__wbg___wbindgen_string_get_914df97fcfa788f2": (out: number, text: string) => {
        const [pointer, length] = this.#pass(text);
        const view = new DataView(this.#exports.memory.buffer);
        view.setInt32(out, pointer, true);
        view.setInt32(out + 4, length, true);
      },
      "__wbg___wbindgen_throw_81fc77679af83bc6": (pointer: number, length: number) => {
        throw new Error(`Cedar failed: ${this.#read(pointer, length)}`);
      },
      "__wbg_parse_545d11396395fbbd": (pointer: number, length: number) => this.#read(pointer, length),
      "__wbg_stringify_a2c39d991e1bf91d": (text: unknown) => text,
      "__wbindgen_init_externref_table": () => {
        const table = this.#exports.__wbindgen_externrefs;
        const offset = table.grow(4);
        table.set(0, undefined);
        [undefined, null, true, false].forEach((value, index) => table.set(offset + index, value));
      },
    };
  }

  #pass(text: string): [pointer: number, length: number] {
    const bytes = this.#encoder.encode(text);
    const pointer = this.#exports.__wbindgen_malloc(bytes.length, 1) >>> 0;
    new Uint8Array(this.#exports.memory.buffer, pointer, bytes.length).set(bytes);
    return [pointer, bytes.length];
  }

  #read(pointer: number, length: number): string {
    return this.#decoder.decode(new Uint8Array(this.#exports.memory.buffer, pointer >>> 0, length));
  }
}

/** State of an instance after its calls, see {@link CedarInstance.image}. */
export interface CedarImage {
  /** Memory, in whole pages. */
  readonly memory: Uint8Array;
  readonly tableEntries: number;
}

/** Result of {@link CedarInstance.call}. */
export interface CedarAnswer {
  /** Answer as Cedar wrote it. */
  readonly json: string;
  /** Units of fuel that the call took. */
  readonly fuelUsed: number;
}

const START_FUEL = 100_000;

/** Rules for Cedar's pinned module: instructions beside the list for plug-ins, and limits. */
const CEDAR_RULES: MeterRules = {
  maxMemoryPages: CEDAR_MEMORY_PAGES,
  // So large that little more than entries and iterations is counted: the code is trusted, its input is not.
  instructionsPerUnit: 4096,
  allowImports: true,
  extraInstructions: ["memory.copy", "memory.fill", "table.grow"],
  limits: {
    types: 64,
    functions: 8192,
    functionBytes: 131_072,
    locals: 256,
    tables: 2,
    tableEntries: 16_384,
    globals: 1,
    exports: 32,
    elementSegments: 1,
    elements: 4096,
    dataSegments: 4096,
    compilerVisits: 8_000_000,
  },
};

let metered: WasmModule | undefined;

function meteredCedar(): WasmModule {
  return metered ??= new wasmEngine.Module(meter(readCedar(), CEDAR_RULES));
}

function readCedar(): Uint8Array {
  const path = findCedar();
  const bytes = readFileSync(path);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  if (sha256 === CEDAR_WASM_SHA256) return bytes;
  throw new LibraryLoadError(`Cannot load Cedar: ${CEDAR_WASM_FILE} is not the file of version 4.13.0`, {
    hint: "Is @cedar-policy/cedar-wasm installed at the version that package.json names?",
  });
}

function findCedar(): URL | string {
  try {
    const base = ownUrl(import.meta.url) ?? "";
    const beside = new URL(CEDAR_WASM_FILE, base);
    if (existsSync(beside)) return beside;
    // Goes by the module's default export: webpack would replace the path by a number.
    const glue = Module.createRequire(base).resolve("@cedar-policy/cedar-wasm/nodejs");
    return glue.replace(/[^/\\]+$/, CEDAR_WASM_FILE);
  } catch (cause) {
    throw new LibraryLoadError(`Cannot load Cedar: ${CEDAR_WASM_FILE} is not there`, {
      hint:
        "Policies in Cedar need an optional package: npm install @cedar-policy/cedar-wasm@4.13.0, or the file beside the bundle",
      cause,
    });
  }
}
