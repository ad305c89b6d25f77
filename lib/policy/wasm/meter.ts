import { concatBytes } from "../../core/bytes.ts";
import { type CodeRules, CodeScanner } from "./wasm_code.ts";
import {
  type Chunk,
  encodeS32,
  encodeU32,
  HEADER,
  lengthOf,
  readSections,
  SECTION,
  SECTION_ORDER,
  type WasmReader,
} from "./wasm_reader.ts";
import { capMemory, capTables, checkSections, type ModuleNames } from "./wasm_sections.ts";
import type { Segment } from "./wasm_stack.ts";

/** Name of the global that {@link meter} adds to a module: the fuel that is left. The host sets it before each call. */
export const FUEL_EXPORT = "enclave_kms_fuel";

/** Bytes or entries of an instruction with a length for which it takes one more unit: 256, as a power of two. */
const BULK_SHIFT = 8;

/** Size of a page of WebAssembly's memory, in bytes. */
export const PAGE_BYTES = 65_536;

/** Rules for a module. */
export interface MeterRules extends CodeRules {
  /** Most memory, in pages of 64 KiB; 1024 are 64 MiB. */
  readonly maxMemoryPages: number;
  /** Whether it may import functions; nothing else may be imported. */
  readonly allowImports: boolean;
  /**
   * Instructions for one unit of fuel. Hostile code needs a small number, or it packs a year's work into one iteration
   * of a loop.
   */
  readonly instructionsPerUnit: number;
}

/**
 * Rewrites a module so that it stops when its fuel is used up, and so that its memory and tables cannot outgrow
 * their caps. The allowed parts are a written list: WebAssembly 2.0 without SIMD, without a start function, and
 * without the instructions that have a length, unless the rules name them.
 *
 * Each entry of a function and each iteration of a loop takes one unit, and one more for every
 * `instructionsPerUnit` that can run before the next such point. Below zero the module traps, and no code of it can
 * prevent that. Instructions with a length take one more for every 256 bytes or entries. The count depends on the
 * module and its input only, not on the machine or runtime.
 *
 * The limits of the rules bound the cost of an instance and of the engine's compiler before any fuel is taken.
 *
 * @param module Bytes of a module. An invalid one may stay invalid: the engine refuses it
 * @param rules Rules for it
 * @returns The bytes of the metered module, without custom sections; it exports {@link FUEL_EXPORT}, an i32
 * that is 0 until the host sets it
 * @throws {WasmFormatError} When the module cannot be metered; it names the part that is not in the list, and its byte
 */
export function meter(module: Uint8Array, rules: MeterRules): Uint8Array<ArrayBuffer> {
  const sections = readSections(module);
  const names = checkSections(sections, rules.limits, rules.allowImports);
  const out: Chunk[] = [HEADER];
  for (const id of SECTION_ORDER) {
    const contents = rewriteSection(id, sections.get(id)?.again(), names, rules);
    if (contents !== undefined) out.push([id], encodeU32(lengthOf(contents)), ...contents);
  }
  return concatBytes(out);
}

function rewriteSection(
  id: number,
  contents: WasmReader | undefined,
  names: ModuleNames,
  rules: MeterRules,
): readonly Chunk[] | undefined {
  if (id === SECTION.global) return append(contents, [I32_GLOBAL, I32_GLOBAL]); // fuel, scratch
  if (id === SECTION.export) {
    return append(contents, [[...FUEL_NAME, GLOBAL_KIND, ...encodeU32(names.globals)]]);
  }
  if (contents === undefined) return undefined;
  if (id === SECTION.table) return [capTables(contents, rules.limits)];
  if (id === SECTION.memory) return [capMemory(contents, rules.maxMemoryPages)];
  if (id === SECTION.code) return meterCode(contents, names, rules);
  return [contents.rest()];
}

/** Code of `(global (mut i32) (i32.const 0))`. */
const I32_GLOBAL: readonly number[] = [0x7f, 0x01, 0x41, 0x00, 0x0b];
const FUEL_NAME: readonly number[] = [FUEL_EXPORT.length, ...new TextEncoder().encode(FUEL_EXPORT)];
const GLOBAL_KIND = 3;

function append(contents: WasmReader | undefined, added: readonly Chunk[]): Chunk[] {
  const count = contents?.u32() ?? 0;
  return [encodeU32(count + added.length), contents?.rest() ?? [], ...added];
}

function meterCode(code: WasmReader, names: ModuleNames, rules: MeterRules): Chunk[] {
  const at = code.position;
  const count = code.u32();
  if (count !== names.ownFunctions.length) code.fail("it has not as much code as functions", at);
  const out: Chunk[] = [encodeU32(count)];
  const chargeFor = chargesOf(names.globals, rules.instructionsPerUnit);
  const scanner = new CodeScanner(names, rules, code);
  for (const signature of names.ownFunctions) {
    const body = code.sized();
    const metered = meterBody(body, scanner.read(body.again(), signature), chargeFor);
    out.push(encodeU32(lengthOf(metered)), ...metered);
  }
  code.expectEnd("the section of code");
  return out;
}

/** Makes the charges of segments. Most are alike, and each is encoded once. */
function chargesOf(fuel: number, instructionsPerUnit: number): (segment: Segment) => Chunk {
  const bulk = new Uint8Array(chargeBulk(fuel));
  const known = new Map<number, Uint8Array>();
  return ({ weight, isBulk }) => {
    if (isBulk) return bulk;
    const units = 1 + Math.floor(weight / instructionsPerUnit);
    const written = known.get(units) ?? new Uint8Array(charge(fuel, units));
    known.set(units, written);
    return written;
  };
}

function meterBody(
  body: WasmReader,
  segments: readonly Segment[],
  chargeFor: (segment: Segment) => Chunk,
): Chunk[] {
  const out: Chunk[] = [];
  let from = body.position;
  for (const segment of segments) {
    out.push(body.bytes.subarray(from, segment.at), chargeFor(segment));
    from = segment.at;
  }
  out.push(body.bytes.subarray(from, body.end));
  return out;
}

/** Encodes `fuel -= units; if (fuel < 0) unreachable`. */
function charge(fuel: number, units: number): number[] {
  return takeFuel(fuel, [0x41, ...encodeS32(units)]);
}

/** Encodes the charge for the length on top of the stack, and leaves it there by way of a scratch global. */
function chargeBulk(fuel: number): number[] {
  const scratch = encodeU32(fuel + 1);
  const units = [0x23, ...scratch, 0x41, BULK_SHIFT, 0x76];
  return [0x24, ...scratch, ...takeFuel(fuel, units), 0x23, ...scratch];
}

/** Encodes a charge. `units` is code that puts a number on the stack, below 2^31 so that the fuel cannot wrap round. */
function takeFuel(fuel: number, units: readonly number[]): number[] {
  const index = encodeU32(fuel);
  const take = [0x23, ...index, ...units, 0x6b, 0x24, ...index];
  return [...take, 0x23, ...index, 0x41, 0x00, 0x48, 0x04, 0x40, 0x00, 0x0b];
}
