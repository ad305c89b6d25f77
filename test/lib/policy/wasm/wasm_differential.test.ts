import assert from "node:assert/strict";
import process from "node:process";
import { describe, test } from "#test";
import { FUEL_EXPORT, meter, type MeterRules, PAGE_BYTES } from "../../../../lib/policy/wasm/meter.ts";
import {
  wasmEngine,
  type WasmExports,
  type WasmGlobal,
  type WasmMemory,
} from "../../../../lib/policy/wasm/wasm_engine.ts";
import { Form, FORMS, INSTRUCTION_NAMES, PREFIXED } from "../../../../lib/policy/wasm/wasm_instructions.ts";
import { PLUGIN_RULES } from "../../../../lib/policy/plugin/wasm_policy.ts";
import { WasmFormatError } from "../../../../lib/policy/wasm/wasm_reader.ts";
import { seeded } from "../cedar/oracle.ts";
import { PLANTED } from "./planted_proposals.ts";
import { MAX_COUNT, type Planted, type RandomModule, randomModule } from "./random_module.ts";
import { halfOf, isDivided } from "../../../support/share.ts";

const MODULES = process.env["SLOW"] === "1" ? 100_000 : halfOf(2000);
/** Seed of the first module: Deno has the second half where the runtimes share. */
const FIRST_SEED = Number(process.env["SEED"] ?? 11) + (isDivided && "Deno" in globalThis ? MODULES : 0);
/** Least count of each part of the list and of each proposal: 100 in 10^5 modules. */
const AT_LEAST = MODULES / 1000;

const FUEL = 3000;

/** Nothing but entries and iterations counts. */
const COUNTING: MeterRules = { ...PLUGIN_RULES, instructionsPerUnit: 2 ** 30 };

/** The same with the instructions that have a length, which cost nothing as long as that is zero. */
const WITH_LENGTHS: MeterRules = {
  ...COUNTING,
  extraInstructions: PREFIXED.flatMap(({ name, hasLength }) => hasLength ? [name] : []),
};

/** Proposals that no engine accepts yet: the list refuses them as well, and no more can be tested. */
const OF_TOMORROW = ["custom page sizes", "wide arithmetic", "stack switching: cont", "strings: stringref"];

interface Tally {
  accepted: number;
  runs: number;
  ended: number;
  trapped: number;
  outOfFuel: number;
  readonly seen: Map<string, number>;
  readonly refused: Map<string, number>;
}

function meterOrRefuse(bytes: Uint8Array, rules: MeterRules): Uint8Array<ArrayBuffer> | WasmFormatError {
  try {
    return meter(bytes, rules);
  } catch (error) {
    if (error instanceof WasmFormatError) return error;
    throw error;
  }
}

interface Run {
  /** Size of the memory at the end, in pages. */
  readonly pages: number;
  readonly result: unknown;
  readonly trap: string | undefined;
  readonly count: number;
}

const ARGUMENTS = { i: 3, I: 5n, f: 0.5, F: -7, r: null, x: null } as const;

function run(exports: WasmExports, index: number, { functions }: RandomModule): Run {
  const count = exports["count"] as WasmGlobal;
  const memory = exports["memory"] as WasmMemory;
  const args = (functions[index] ?? []).map((type) => ARGUMENTS[type]);
  const called = exports[`f${index}`] as (...args: unknown[]) => unknown;
  let [result, trap]: [result: unknown, trap: string | undefined] = [undefined, undefined];
  try {
    result = called(...args);
  } catch (error) {
    trap = (error as Error).message;
  }
  return { result, trap, count: count.value, pages: memory.buffer.byteLength / PAGE_BYTES };
}

/** References are different ones in different instances. */
function comparable(result: unknown): unknown {
  return (Array.isArray(result) ? result : [result]).map((value) =>
    typeof value === "function" ? "function" : value
  );
}

/** Runs every function of the module as it is and metered, each in a fresh instance. */
function compare(module: RandomModule, metered: Uint8Array<ArrayBuffer>, tally: Tally): void {
  const [plain, charged] = [module.bytes, metered].map((bytes) => new wasmEngine.Module(bytes));
  for (const index of module.functions.keys()) {
    const without = run(new wasmEngine.Instance(plain!).exports, index, module);
    const { exports } = new wasmEngine.Instance(charged!);
    const fuel = exports[FUEL_EXPORT] as WasmGlobal;
    fuel.value = FUEL;
    const within = run(exports, index, module);
    const used = FUEL - fuel.value;
    tally.runs++;
    if (fuel.value < 0) {
      tally.outOfFuel++;
      // The charge that could not be paid comes before what it is for.
      assert.equal(within.count, FUEL);
      assert.equal(used, FUEL + 1);
      if (without.pages <= COUNTING.maxMemoryPages) assert.ok(without.count > FUEL);
      continue;
    }
    assert.equal(used, within.count);
    // Where the module went on growing its memory, the metered one was told that there is no more.
    if (without.pages <= COUNTING.maxMemoryPages) {
      assert.equal(within.count, without.count);
      assert.equal(within.trap, without.trap);
      assert.deepEqual(comparable(within.result), comparable(without.result));
    }
    tally[within.trap === undefined ? "ended" : "trapped"]++;
  }
}

function tryModule(seed: number, tally: Tally): void {
  const names = Object.keys(PLANTED);
  // Every second one is good; the others take turns.
  const name = seed % 2 === 0 ? undefined : names[((seed - 1) / 2) % names.length];
  const planted: Planted = name === undefined ? {} : PLANTED[name] ?? {};
  const module = randomModule(seeded(seed), planted);
  const isKnown = name !== undefined && OF_TOMORROW.includes(name);
  if (!isKnown) assert.equal(wasmEngine.validate(module.bytes), true, "the engine does not accept it");
  const metered = meterOrRefuse(module.bytes, COUNTING);
  if (name !== undefined) {
    assert.ok(metered instanceof WasmFormatError, "it is accepted");
    assert.ok(metered.offset > 8 && metered.offset <= module.bytes.length);
    count(tally.refused, name);
    const allowed = meterOrRefuse(module.bytes, WITH_LENGTHS);
    if (!(allowed instanceof WasmFormatError)) compare(module, allowed, tally);
    return;
  }
  if (metered instanceof WasmFormatError) throw metered;
  tally.accepted++;
  for (const what of module.seen) count(tally.seen, what);
  compare(module, metered, tally);
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

/** Names every construct of the list. The accepted modules must contain each. */
function wholeList(): string[] {
  const opcodes = INSTRUCTION_NAMES.flatMap((_, opcode) => FORMS[opcode] === Form.unknown ? [] : [opcode]);
  const two = (byte: number) => byte.toString(16).padStart(2, "0");
  return [
    ...opcodes.filter((opcode) => opcode !== 0xfc).map((opcode) => `op ${two(opcode)}`),
    ...PREFIXED.flatMap(({ hasLength }, number) => hasLength ? [] : [`fc ${number}`]),
    ...[0x7f, 0x7e, 0x7d, 0x7c, 0x70, 0x6f].map((type) => `type ${two(type)}`),
    ...[0, 1, 3, 4, 5, 6, 7, 9, 10, 11, 12].map((id) => `section ${id}`),
    ...[0x41, 0x42, 0x43, 0x44, 0xd0, 0xd2].map((opcode) => `constant ${two(opcode)}`),
    ...[0, 1, 2, 3, 4, 5, 6, 7].map((form) => `element ${form}`),
    ...[0, 1, 2].map((form) => `data ${form}`),
    ...["block empty", "block value", "block index"],
  ];
}

describe("a metered module", () => {
  test(`counts as the module itself does, in ${MODULES} random ones`, () => {
    const tally: Tally = {
      ...{ accepted: 0, runs: 0, ended: 0, trapped: 0, outOfFuel: 0 },
      ...{ seen: new Map<string, number>(), refused: new Map<string, number>() },
    };
    for (let seed = FIRST_SEED; seed < FIRST_SEED + MODULES; seed++) {
      try {
        tryModule(seed, tally);
      } catch (cause) {
        throw new Error(`With SEED=${seed}: ${(cause as Error).message}`, { cause });
      }
    }
    const { seen, refused, ...counts } = tally;
    const rarest = [...seen].sort(([, left], [, right]) => left - right)[0];
    console.log(`SEED=${FIRST_SEED}:`, { ...counts, refused: MODULES - counts.accepted, rarest });
    assert.ok(tally.accepted >= 0.3 * MODULES);
    for (const part of wholeList()) {
      assert.ok((seen.get(part) ?? 0) >= AT_LEAST, `${part}: ${seen.get(part)}`);
    }
    for (const name of Object.keys(PLANTED)) assert.ok((refused.get(name) ?? 0) >= AT_LEAST, name);
    // Each outcome is common enough to mean something.
    for (const outcome of [tally.ended, tally.trapped, tally.outOfFuel]) {
      assert.ok(outcome > tally.runs / 100);
    }
  }, 1_200_000);

  test("may have as many instructions as WebAssembly 2.0 has without SIMD", () => {
    assert.equal(wholeList().filter((part) => part.startsWith("op ")).length, 183);
    assert.equal(PREFIXED.length, 18);
    // A module of its own ends later than one on fuel, so that the two can be compared.
    assert.ok(MAX_COUNT > FUEL);
  });
});
