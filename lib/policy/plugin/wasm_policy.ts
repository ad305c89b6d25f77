import { checkFields, checkInteger } from "../../core/checks.ts";
import { PolicyLoadError } from "../../core/errors.ts";
import { checkActions } from "../actions.ts";
import { CANARY_CALLERS, canaryFacts, describeCanary, type PolicyFacts, serialisedFacts } from "../facts.ts";
import { FUEL_EXPORT, meter, type MeterRules } from "../wasm/meter.ts";
import { DEFAULT_FUEL, denied, MAX_FUEL, messageOf, type Policy, type PolicyDecision } from "../policy.ts";
import {
  checkWasmEngine,
  wasmEngine,
  type WasmExports,
  type WasmGlobal,
  type WasmMemory,
  type WasmModule,
} from "../wasm/wasm_engine.ts";

/** Version of the plug-in interface, which `policy_abi()` returns. */
export const POLICY_ABI = 1;

/** Most bytes of a module. */
export const MAX_MODULE_BYTES = 1_048_576;

/** Most memory that a module may be given, in pages of 64 KiB: 64 MiB. */
const MAX_MEMORY_PAGES = 1024;

/**
 * Rules for plug-ins. Each decision makes an instance before any fuel is taken: with all limits reached, that takes 2
 * to 4 ms. Functions are compiled when they run first, which takes 0.1 s at most for all of them together.
 */
export const PLUGIN_RULES: MeterRules = {
  maxMemoryPages: MAX_MEMORY_PAGES,
  instructionsPerUnit: 32,
  allowImports: false,
  extraInstructions: [],
  limits: {
    types: 1000,
    functions: 20_000,
    functionBytes: 65_536,
    locals: 50_000,
    tables: 16,
    tableEntries: 16_384,
    globals: 1000,
    exports: 100,
    elementSegments: 1000,
    elements: 16_384,
    dataSegments: 10_000,
    compilerVisits: 8_000_000,
  },
};

/** Options of a plug-in. */
export interface WasmOptions {
  /**
   * Actions that the host asks about. The module must decide each one when it loads, and a request for another one is
   * denied.
   */
  readonly actions: readonly string[];
  /** Name, for the log. Default: `plug-in`. */
  readonly name?: string | undefined;
  /**
   * Units of fuel for a decision, 1 to 20000000; a unit is 32 instructions at most, or one that reads or writes memory.
   * Default: 2000000, which take about 30 ms, and 0.3 s where every access misses the processor's caches.
   */
  readonly fuel?: number | undefined;
  /**
   * Most memory of an instance, in pages of 64 KiB, 1 to 1024. Default: 256, which are 16 MiB. Each decision has its
   * own, and the runtime frees it when it collects garbage: with a plug-in that writes to all 16 MiB each time,
   * Node.js stays below 0.3 GiB, but Deno goes to 1.5 GiB, and to 0.6 GiB with `--v8-flags=--max-old-space-size=128`.
   */
  readonly memoryPages?: number | undefined;
}

/**
 * Loads a policy from a WebAssembly module of any origin. It imports nothing, so it can only read the facts
 * and answer. It exports
 *
 * - `memory`,
 * - `policy_abi() -> i32`: 1,
 * - `policy_alloc(length: i32) -> i32`: address to write the facts to,
 * - `policy_decide(pointer: i32, length: i32) -> i32`: 1 permits, anything else denies.
 *
 * The facts are {@link PolicyFacts} as JSON in UTF-8, at most 64 KiB. Each decision has an instance of its own,
 * so no state is left from the one before; fuel and memory are capped.
 *
 * Not guaranteed: that a module does what its author says. Anyone who can replace the module decides.
 *
 * It may use WebAssembly 2.0 without SIMD, without a start function, and without the instructions whose work depends on
 * a length (`memory.copy`, `memory.fill`, `memory.init`, `table.copy`, `table.fill`,
 * `table.grow`, `table.init`). Everything newer is refused, with its name and place. Compilers emit some of it unless
 * told otherwise: `--target wasm32v1-none` for Rust, `-mcpu=mvp` for clang. A function has at most 64 KiB, all tables
 * together 16,384 entries; `PLUGIN_RULES` in the source has every limit.
 *
 * @param bytes The module, at most 1 MiB
 * @param options The actions and the limits
 * @returns The policy
 * @throws {PolicyLoadError} When it is no module, not one of this interface, or cannot decide a plain request
 * @throws {TypeError} When an option is missing, unknown or of a wrong type
 * @throws {RangeError} When a limit or the number of actions is out of range
 * @example
 * ```ts
 * import { decodeBase64 } from "enclave-kms";
 * import { makeFacts, wasmPolicy } from "enclave-kms/policy";
 *
 * // policy_decide() of this one is `i32.const 1`: it permits everything.
 * const module = decodeBase64(
 *   "AGFzbQEAAAABEANgAAF/YAF/AX9gAn9/AX8DBAMAAQIFAwEAAgc2BApwb2xpY3lfYWJpAAAMcG9s" +
 *   "aWN5X2FsbG9jAAENcG9saWN5X2RlY2lkZQACBm1lbW9yeQIAChEDBABBAQsFAEGACAsEAEEBCw==",
 * );
 * const policy = wasmPolicy(module, { actions: ["GenerateRandom"], name: "yes", fuel: 1000 });
 * const caller = { cid: 3, attributes: {} };
 * const facts = makeFacts({ action: "GenerateRandom", caller, region: "eu-west-1", time: 0, recentCount: 1 });
 * policy.decide(facts).reason; // "Permitted by yes"
 * ```
 */
export function wasmPolicy(bytes: Uint8Array, options: WasmOptions): Policy {
  const { name = "plug-in", ...limits } = checkFields("plug-in options", options, [
    "name",
    "actions",
    ...PLUGIN_LIMITS,
  ]);
  const actions = checkActions(limits.actions);
  const fuel = checkInteger("fuel", limits.fuel, { min: 1, max: MAX_FUEL, default: DEFAULT_FUEL });
  const pages = { min: 1, max: MAX_MEMORY_PAGES, default: 256 };
  const module = compile(bytes, checkInteger("memoryPages", limits.memoryPages, pages));
  const plugin: Plugin = { module, name, fuel, actions };
  tryCanaries(plugin);
  return Object.freeze({ name, decide: (facts: PolicyFacts) => decide(plugin, facts) });
}

/** Options of plug-ins, except their name and actions. */
export const PLUGIN_LIMITS: readonly string[] = ["fuel", "memoryPages"];

interface Plugin {
  readonly module: WasmModule;
  readonly name: string;
  readonly fuel: number;
  readonly actions: readonly string[];
}

interface PluginExports extends WasmExports {
  readonly [FUEL_EXPORT]: WasmGlobal;
  readonly memory: WasmMemory;
  policy_abi(): unknown;
  policy_alloc(length: number): unknown;
  policy_decide(pointer: number, length: number): unknown;
}

function compile(bytes: Uint8Array, maxMemoryPages: number): WasmModule {
  if (!(bytes instanceof Uint8Array)) throw new TypeError("The plug-in must be a Uint8Array");
  checkWasmEngine();
  if (bytes.length > MAX_MODULE_BYTES) {
    throw loadError(`it has ${bytes.length} bytes, and may have ${MAX_MODULE_BYTES}`);
  }
  // Copied, so that the validated bytes are the metered ones.
  const copy = new Uint8Array(bytes);
  const metered = meterPlugin(copy, maxMemoryPages);
  // The compiler would find most faults, but none in the sections that the meter leaves out.
  if (!wasmEngine.validate(copy)) throw loadError("it is not a valid WebAssembly module");
  try {
    return new wasmEngine.Module(metered);
  } catch (cause) {
    throw loadError(messageOf(cause), cause);
  }
}

/** Meters a module before the engine sees it: code outside the list has kept engines busy for minutes. */
function meterPlugin(module: Uint8Array, maxMemoryPages: number): Uint8Array<ArrayBuffer> {
  try {
    return meter(module, { ...PLUGIN_RULES, maxMemoryPages });
  } catch (cause) {
    throw loadError(messageOf(cause), cause);
  }
}

function tryCanaries(plugin: Plugin): void {
  for (const action of plugin.actions) {
    for (const caller of CANARY_CALLERS) {
      try {
        run(plugin, canaryFacts(action, caller));
      } catch (cause) {
        throw loadError(`it cannot decide ${describeCanary(action, caller)}: ${messageOf(cause)}`, cause);
      }
    }
  }
}

function decide(plugin: Plugin, facts: PolicyFacts): PolicyDecision {
  try {
    const { answer, fuelUsed } = run(plugin, facts);
    if (answer !== 1) return denied(`${plugin.name} refused it`, fuelUsed);
    return { allowed: true, reason: `Permitted by ${plugin.name}`, determining: [plugin.name], fuelUsed };
  } catch (error) {
    return denied(`${plugin.name} could not decide: ${messageOf(error)}`);
  }
}

function run(plugin: Plugin, facts: PolicyFacts): { answer: unknown; fuelUsed: number } {
  const { module, fuel, actions } = plugin;
  const bytes = serialisedFacts(facts); // proves that the host made them
  if (!actions.includes(facts.action)) {
    throw new TypeError(`it was loaded without the action ${facts.action}`);
  }
  const wasm = new wasmEngine.Instance(module).exports as PluginExports;
  const left = wasm[FUEL_EXPORT];
  left.value = fuel;
  try {
    if (wasm.policy_abi() !== POLICY_ABI) throw new Error(`policy_abi() is not ${POLICY_ABI}`);
    const pointer = Number(wasm.policy_alloc(bytes.length)) >>> 0;
    // Throws when the facts would not fit, whatever the module answered.
    new Uint8Array(wasm.memory.buffer, pointer, bytes.length).set(bytes);
    const answer = wasm.policy_decide(pointer, bytes.length);
    return { answer, fuelUsed: fuel - left.value };
  } catch (error) {
    if (left.value < 0) throw new Error(`it used up its fuel of ${fuel} units`);
    throw error;
  }
}

function loadError(problem: string, cause?: unknown): PolicyLoadError {
  return new PolicyLoadError(`Cannot load the plug-in: ${problem}`, {
    hint:
      "Was it built without imports, for the interface that wasmPolicy() describes, and for WebAssembly's " +
      "first instructions (Rust: --target wasm32v1-none; clang: -mcpu=mvp)?",
    cause,
  });
}
