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

/** What Cedar's memory may grow to, in pages of 64 KiB: 64 MiB. */
export const CEDAR_MEMORY_PAGES = 1024;

/** The file of the package that holds Cedar; a bundle has it beside itself. */
export const CEDAR_WASM_FILE = "cedar_wasm_bg.wasm";

/** Of that file in version 4.13.0: no other module is run without the host's check of its imports. */
const CEDAR_WASM_SHA256 = "9ed10461f45bceabbe2c364330500378b71f641b28f7c2a1f6e033c9be2f1d9a";

/** The functions of Cedar's that we call; each takes JSON and answers JSON. */
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
 * One instance of Cedar with its own memory, and in it the schemas and policies it has parsed.
 *
 * Its imports are the six that wasm-bindgen needs. Two of them, JSON.parse and JSON.stringify, are the identity
 * here: JSON goes in and out as text, so no object of ours has a method that Cedar's glue would call.
 *
 * After a call that threw, an instance is of no more use: a trap leaves its stack pointer where it was.
 */
export class CedarInstance {
  readonly #exports: CedarExports;
  readonly #encoder = new TextEncoder();
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

  /**
   * Takes 2 ms, and with an image of 2.5 MiB another 2 ms; the first in a process reads and meters the module, 150 ms.
   *
   * @param image What another instance had become; without one, nothing is parsed yet
   */
  constructor(image?: CedarImage) {
    const instance = new wasmEngine.Instance(meteredCedar(), { "./cedar_wasm_bg.js": this.#imports() });
    this.#exports = instance.exports as unknown as CedarExports;
    this.#exports[FUEL_EXPORT].value = START_FUEL;
    this.#exports.__wbindgen_start();
    if (image !== undefined) this.#become(image);
  }

  /**
   * Copies all that calls have changed: memory, and the length of the table of JavaScript values, which between two
   * calls holds none. The only variable is the stack's pointer, which after a call that returned is what it was.
   *
   * @returns A copy, from which instances are made that have parsed the same
   */
  image(): CedarImage {
    const { memory, __wbindgen_externrefs: table } = this.#exports;
    return { memory: new Uint8Array(memory.buffer.slice(0)), tableEntries: table.length };
  }

  /**
   * @param name The function
   * @param args Its argument as JSON, but for `policySetTextToParts`, which takes a policy's text; before it, for
   * what is kept under a name, that name
   * @param fuel How many units the call may use
   * @returns What Cedar answered, as JSON, and the units it took
   * @throws {Error} When Cedar trapped, or ran out of fuel or memory: the instance must be thrown away
   */
  call(name: CedarFunction, args: { json: string; name?: string }, fuel: number): CedarAnswer {
    const wasm = this.#exports;
    wasm[FUEL_EXPORT].value = fuel;
    const json = this.#callByName(name, args);
    return { json, fuelUsed: fuel - wasm[FUEL_EXPORT].value };
  }

  /** How much memory it has, in bytes; it never shrinks. */
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

/** What an instance has become by its calls, see {@link CedarInstance.image}. */
export interface CedarImage {
  /** Whole pages. */
  readonly memory: Uint8Array;
  readonly tableEntries: number;
}

/** What {@link CedarInstance.call} returns. */
export interface CedarAnswer {
  /** As Cedar wrote it. */
  readonly json: string;
  /** Units of fuel. */
  readonly fuelUsed: number;
}

const START_FUEL = 100_000;

/** What Cedar's pinned module needs besides the list for plug-ins, and how much of everything it has at most. */
const CEDAR_RULES: MeterRules = {
  maxMemoryPages: CEDAR_MEMORY_PAGES,
  // So many that next to nothing but entries and iterations counts: this code is not hostile, its input is.
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
    // By way of the module's default export: webpack would put a number of its own in place of the path.
    const glue = Module.createRequire(base).resolve("@cedar-policy/cedar-wasm/nodejs");
    return glue.replace(/[^/\\]+$/, CEDAR_WASM_FILE);
  } catch (cause) {
    throw new LibraryLoadError(`Cannot load Cedar: ${CEDAR_WASM_FILE} is not there`, {
      hint: "Is @cedar-policy/cedar-wasm installed, or the file beside the bundle?",
      cause,
    });
  }
}
