import { type CodeRules, readSegments, type Segment } from "./wasm_code.ts";
import {
  type Chunk,
  encodeS32,
  encodeU32,
  HEADER,
  lengthOf,
  readSections,
  SECTION,
  SECTION_ORDER,
  WasmFormatError,
  type WasmReader,
} from "./wasm_reader.ts";

/** The global that {@link meter} adds to a module: how much fuel is left. The host sets it before each call. */
export const FUEL_EXPORT = "enclave_kms_fuel";

/** A bulk operation takes a unit more for every 256 bytes or entries, as a power of two. */
const BULK_SHIFT = 8;

/** WebAssembly's page. */
export const PAGE_BYTES = 65_536;

/** A table takes the host's memory, not the module's. */
const MAX_TABLE_ENTRIES = 16_384;

/** What a module may be. */
export interface MeterRules extends CodeRules {
  /** Pages of 64 KiB to which its memory may grow; 1024 are 64 MiB. */
  readonly maxMemoryPages: number;
  /**
   * How many instructions a unit of fuel stands for. Code that may be hostile needs a small number, or it
   * packs a year's work into one iteration of a loop.
   */
  readonly instructionsPerUnit: number;
}

/**
 * Rewrites a module so that it stops when its fuel is used up, and so that its memory cannot outgrow a cap.
 *
 * Each entry of a function and each iteration of a loop takes one unit, and one more for every
 * `instructionsPerUnit` that can run before the next such point. Below zero the module traps, and no code of it can prevent that.
 * Bulk operations, where they are allowed, take one for every 256 bytes. The count depends on the module and
 * its input only, not on the machine or runtime.
 *
 * What is not bounded: the time that the engine takes to compile a module, except by the module's size.
 *
 * @param module The bytes of a valid module: the caller has had `WebAssembly.validate` look at them, without
 * which code could name the global that this function adds
 * @param rules What it may be
 * @returns The bytes of the metered module, without custom sections; it exports {@link FUEL_EXPORT}, an i32
 * that is 0 until the host sets it
 * @throws {WasmFormatError} When the module is not one that can be metered
 */
export function meter(module: Uint8Array, rules: MeterRules): Uint8Array<ArrayBuffer> {
  const sections = readSections(module);
  checkImports(sections.get(SECTION.import)?.again());
  checkTables(sections.get(SECTION.table)?.again());
  const fuel = sections.get(SECTION.global)?.again().u32() ?? 0;
  const out: Chunk[] = [HEADER];
  for (const id of SECTION_ORDER) {
    const contents = rewriteSection(id, sections.get(id), fuel, rules);
    if (contents !== undefined) out.push([id], encodeU32(lengthOf(contents)), ...contents);
  }
  return concatenate(out);
}

function rewriteSection(
  id: number,
  contents: WasmReader | undefined,
  fuel: number,
  rules: MeterRules,
): readonly Chunk[] | undefined {
  if (id === SECTION.global) return append(contents, [I32_GLOBAL, I32_GLOBAL]); // fuel, scratch
  if (id === SECTION.export) return append(contents, [[...FUEL_NAME, GLOBAL_KIND, ...encodeU32(fuel)]]);
  if (contents === undefined) return undefined;
  if (id === SECTION.memory) return [capMemory(contents.again(), rules.maxMemoryPages)];
  if (id === SECTION.code) return meterCode(contents.again(), fuel, rules);
  return [contents.rest()];
}

/** `(global (mut i32) (i32.const 0))` */
const I32_GLOBAL: readonly number[] = [0x7f, 0x01, 0x41, 0x00, 0x0b];
const FUEL_NAME: readonly number[] = [FUEL_EXPORT.length, ...new TextEncoder().encode(FUEL_EXPORT)];
const GLOBAL_KIND = 3;

function append(contents: WasmReader | undefined, added: readonly Chunk[]): Chunk[] {
  const items = contents?.again();
  const count = items?.u32() ?? 0;
  return [encodeU32(count + added.length), items?.rest() ?? [], ...added];
}

/** The memory section, with a maximum that is no greater than the cap. */
function capMemory(memories: WasmReader, maxPages: number): number[] {
  if (memories.u32() !== 1) throw new WasmFormatError("it has not exactly one memory");
  const flags = memories.byte();
  if (flags > 1) throw new WasmFormatError("its memory is shared or of 64 bits");
  const min = memories.u32();
  const max = flags === 1 ? memories.u32() : maxPages;
  if (min > maxPages) throw new WasmFormatError(`it wants ${min} pages of memory and may have ${maxPages}`);
  return [1, 1, ...encodeU32(min), ...encodeU32(Math.min(max, maxPages))];
}

function checkTables(tables: WasmReader | undefined): void {
  for (let count = tables?.u32() ?? 0; tables !== undefined && count > 0; count--) {
    const type = tables.byte();
    const flags = tables.byte();
    if (type < 0x6f || type > 0x70 || flags > 1) throw new WasmFormatError("it has a table of unknown kind");
    if (tables.u32() > MAX_TABLE_ENTRIES) throw new WasmFormatError("it has a table that is too large");
    if (flags === 1) tables.u32();
  }
}

/** Only functions may be imported: an imported global, table or memory belongs to somebody else. */
function checkImports(imports: WasmReader | undefined): void {
  for (let count = imports?.u32() ?? 0; imports !== undefined && count > 0; count--) {
    imports.sized();
    imports.sized();
    if (imports.byte() !== 0) throw new WasmFormatError("it imports what is not a function");
    imports.u32();
  }
}

function meterCode(code: WasmReader, fuel: number, rules: MeterRules): Chunk[] {
  const count = code.u32();
  const out: Chunk[] = [encodeU32(count)];
  const chargeFor = chargesOf(fuel, rules.instructionsPerUnit);
  for (let index = 0; index < count; index++) {
    const body = code.sized();
    const metered = meterBody(body, readSegments(body.again(), rules), chargeFor);
    out.push(encodeU32(lengthOf(metered)), ...metered);
  }
  return out;
}

/** Most charges are alike: each is written once. */
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

/** `fuel -= units; if (fuel < 0) unreachable` */
function charge(fuel: number, units: number): number[] {
  return takeFuel(fuel, [0x41, ...encodeS32(units)]);
}

/** The same for what is on top of the stack, which it leaves there: `scratch = length`, and so on. */
function chargeBulk(fuel: number): number[] {
  const scratch = encodeU32(fuel + 1);
  const units = [0x23, ...scratch, 0x41, BULK_SHIFT, 0x76];
  return [0x24, ...scratch, ...takeFuel(fuel, units), 0x23, ...scratch];
}

/** @param units Code that puts a number on the stack, less than 2^31 so that the fuel cannot wrap round */
function takeFuel(fuel: number, units: readonly number[]): number[] {
  const index = encodeU32(fuel);
  const take = [0x23, ...index, ...units, 0x6b, 0x24, ...index];
  return [...take, 0x23, ...index, 0x41, 0x00, 0x48, 0x04, 0x40, 0x00, 0x0b];
}

function concatenate(chunks: readonly Chunk[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(lengthOf(chunks));
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}
