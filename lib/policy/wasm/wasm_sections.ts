import { nameOfInstruction, nameOfLimits, nameOfType } from "./wasm_proposals.ts";
import { Opcode } from "./wasm_instructions.ts";
import { encodeU32, SECTION, type WasmReader } from "./wasm_reader.ts";

/** Limits of a module's parts: an instance is made for each decision, before any fuel is taken. */
export interface ModuleLimits {
  readonly types: number;
  /** Number of functions, without imported ones. */
  readonly functions: number;
  /** Bytes of a function's body: the optimising compiler takes memory for each function. */
  readonly functionBytes: number;
  /** Number of a function's locals, in all groups together. */
  readonly locals: number;
  readonly tables: number;
  /** Number of entries of all tables together, at their largest. */
  readonly tableEntries: number;
  readonly globals: number;
  readonly exports: number;
  readonly elementSegments: number;
  /** Number of elements of all element segments together. */
  readonly elements: number;
  readonly dataSegments: number;
  /**
   * Visits of the compiler: for each branch and each end of a block it visits all locals and all values on the stack. A
   * visit takes about 15 ns.
   */
  readonly compilerVisits: number;
}

/** Type of a function, by its numbers of values. */
export interface Signature {
  readonly parameters: number;
  readonly results: number;
}

/** Items that the code of a module refers to. */
export interface ModuleNames {
  readonly types: readonly Signature[];
  /** Types of all functions, imported ones first. */
  readonly functions: readonly Signature[];
  /** Types of the functions that have code. */
  readonly ownFunctions: readonly Signature[];
  readonly globals: number;
}

/** Most parameters of a function: as many as compilers need, and fewer than engines take. */
const MAX_PARAMETERS = 100;
/** Most values that a block takes, or that it or a function leaves: each branch may move them all. */
export const MAX_BLOCK_VALUES = 16;

/**
 * Reads every section but the code's, and refuses all that is not in this list: i32, i64, f32, f64, funcref and
 * externref; constants of these types, `ref.null` and `ref.func` where a value is computed before the module runs;
 * one memory of 32 bits; tables, segments and exports of the kinds that WebAssembly 2.0 has.
 *
 * @param sections Sections of `readSections`
 * @param limits Limits of a module's parts
 * @param allowImports Whether functions may be imported
 * @returns Items that the code refers to
 * @throws {WasmFormatError} When a part is not in the list, or too large
 */
export function checkSections(
  sections: ReadonlyMap<number, WasmReader>,
  limits: ModuleLimits,
  allowImports: boolean,
): ModuleNames {
  const of = (id: number) => sections.get(id)?.again();
  const types = readAll(of(SECTION.type), "types", limits.types, readType);
  const signatureAt = (reader: WasmReader) => {
    return types[reader.u32()] ?? reader.fail("it names a type that it does not have");
  };
  const imports = readAll(of(SECTION.import), "imports", allowImports ? limits.functions : 0, (reader) => {
    reader.sized();
    reader.sized();
    if (reader.byte() !== 0) reader.fail("it imports what is not a function", reader.position - 1);
    return signatureAt(reader);
  });
  const own = readAll(of(SECTION.function), "functions", limits.functions, signatureAt);
  const globals = readAll(of(SECTION.global), "globals", limits.globals, passGlobal);
  readAll(of(SECTION.export), "exports", limits.exports, passExport);
  checkElements(of(SECTION.element), limits);
  readAll(of(SECTION.data), "data segments", limits.dataSegments, passData);
  of(SECTION.dataCount)?.u32();
  return { types, functions: [...imports, ...own], ownFunctions: own, globals: globals.length };
}

/** Reads each item of a section's vector; a missing section has none. */
export function readAll<T>(
  section: WasmReader | undefined,
  what: string,
  max: number,
  read: (reader: WasmReader) => T,
): T[] {
  if (section === undefined) return [];
  const at = section.position;
  const count = section.u32();
  if (count > max) {
    section.fail(max === 0 ? `it has ${what},` : `it has ${count} ${what} and may have ${max},`, at);
  }
  const items: T[] = [];
  while (items.length < count) items.push(read(section));
  section.expectEnd(`the section of ${what}`);
  return items;
}

function readType(reader: WasmReader): Signature {
  const at = reader.position;
  const form = reader.byte();
  if (form !== 0x60) reader.fail(`it has ${nameOfType(form)},`, at);
  const parameters = passValueTypes(reader, MAX_PARAMETERS, "parameters");
  return { parameters, results: passValueTypes(reader, MAX_BLOCK_VALUES, "results") };
}

function passValueTypes(reader: WasmReader, max: number, what: string): number {
  const at = reader.position;
  const count = reader.u32();
  if (count > max) reader.fail(`it has a type with ${count} ${what} and may have ${max},`, at);
  for (let left = count; left > 0; left--) passValueType(reader);
  return count;
}

/** Skips i32, i64, f32, f64, funcref or externref: one byte each. */
export function passValueType(reader: WasmReader): void {
  const at = reader.position;
  const type = reader.byte();
  if (!isValueType(type)) reader.fail(`it has ${nameOfType(type)},`, at);
}

/** Tells whether a byte is one of the types in the list. */
export function isValueType(type: number): boolean {
  return (type >= 0x7c && type <= 0x7f) || type === 0x70 || type === 0x6f;
}

/** Skips funcref or externref. */
export function passReferenceType(reader: WasmReader): void {
  const at = reader.position;
  const type = reader.byte();
  if (type !== 0x70 && type !== 0x6f) reader.fail(`it has ${nameOfType(type)},`, at);
}

/** Skips an instruction that makes a constant, and `end`. */
function passConstant(reader: WasmReader): void {
  const at = reader.position;
  const opcode = reader.byte();
  switch (opcode) {
    case Opcode.i32Const:
    case Opcode.refFunc:
      reader.skipInteger(5);
      break;
    case Opcode.i64Const:
      reader.skipInteger(10);
      break;
    case Opcode.f32Const:
      reader.skip(4);
      break;
    case Opcode.f64Const:
      reader.skip(8);
      break;
    case Opcode.refNull:
      passReferenceType(reader);
      break;
    default:
      reader.fail(`a constant expression has ${nameOfInstruction(opcode)},`, at);
  }
  const next = reader.byte();
  if (next !== Opcode.end) {
    reader.fail(`a constant expression goes on with ${nameOfInstruction(next)},`, reader.position - 1);
  }
}

function passGlobal(reader: WasmReader): void {
  passValueType(reader);
  const at = reader.position;
  if (reader.byte() > 1) reader.fail("a global is neither constant nor variable", at);
  passConstant(reader);
}

function passExport(reader: WasmReader): void {
  const name = reader.sized().rest();
  const at = reader.position;
  if (reader.byte() > 3) reader.fail("it exports what is no function, table, memory or global", at);
  reader.u32();
  if (name.length > MAX_NAME_BYTES) reader.fail("it exports a name that is too long", at);
}

const MAX_NAME_BYTES = 1024;

/** Checks the element segments: https://webassembly.github.io/spec/core/binary/modules.html#element-section. */
function checkElements(section: WasmReader | undefined, limits: ModuleLimits): void {
  let elements = 0;
  readAll(section, "element segments", limits.elementSegments, (reader) => {
    const at = reader.position;
    const flags = reader.u32();
    if (flags > 7) reader.fail(`it has an element segment of the unknown form ${flags}`, at);
    const [isPassive, isExplicit, hasExpressions] = [flags & 1, flags & 2, flags & 4];
    if (isPassive === 0 && isExplicit !== 0) reader.u32();
    if (isPassive === 0) passConstant(reader);
    if (flags !== 0 && flags !== 4) passElementKind(reader, hasExpressions !== 0);
    const count = reader.u32();
    elements += count;
    if (elements > limits.elements) {
      reader.fail(`its element segments have more than ${limits.elements} entries`, at);
    }
    for (let left = count; left > 0; left--) {
      if (hasExpressions === 0) reader.u32();
      else passConstant(reader);
    }
  });
}

function passElementKind(reader: WasmReader, isReferenceType: boolean): void {
  if (isReferenceType) return passReferenceType(reader);
  const at = reader.position;
  if (reader.byte() !== 0) reader.fail("it has an element segment of an unknown kind", at);
}

function passData(reader: WasmReader): void {
  const at = reader.position;
  const flags = reader.u32();
  if (flags > 2) reader.fail(`it has a data segment of the unknown form ${flags}`, at);
  if (flags === 2 && reader.u32() !== 0) {
    reader.fail("it has a data segment of another memory (multi-memory)", at);
  }
  if (flags !== 1) passConstant(reader);
  reader.sized();
}

/** Encodes the memory section with a maximum that is no greater than the cap. */
export function capMemory(memories: WasmReader, maxPages: number): number[] {
  const at = memories.position;
  if (memories.u32() !== 1) memories.fail("it has not exactly one memory", at);
  const { min, max = maxPages } = readLimits(memories, "a memory");
  memories.expectEnd("the section of memories");
  if (min > maxPages) memories.fail(`it wants ${min} pages of memory and may have ${maxPages},`, at);
  return [1, 1, ...encodeU32(min), ...encodeU32(Math.min(max, maxPages))];
}

/** Encodes the table section so that all tables together cannot outgrow the cap. */
export function capTables(section: WasmReader, { tables: maxTables, tableEntries }: ModuleLimits): number[] {
  const at = section.position;
  const tables = readAll(section, "tables", maxTables, (reader) => {
    const type = reader.bytes[reader.position] ?? 0;
    passReferenceType(reader);
    return { type, ...readLimits(reader, "a table") };
  });
  const entries = tables.reduce((sum, { min }) => sum + min, 0);
  if (entries > tableEntries) {
    section.fail(`its tables have ${entries} entries and may have ${tableEntries},`, at);
  }
  const spare = Math.floor((tableEntries - entries) / tables.length);
  const capped = tables.map(({ type, min, max = tableEntries }) => {
    return [type, 1, ...encodeU32(min), ...encodeU32(Math.min(max, min + spare))];
  });
  return [...encodeU32(tables.length), ...capped.flat()];
}

function readLimits(
  reader: WasmReader,
  what: string,
): { readonly min: number; readonly max: number | undefined } {
  const at = reader.position;
  const flags = reader.byte();
  if (flags > 1) reader.fail(`${what} has ${nameOfLimits(flags)}`, at);
  const min = reader.u32();
  return { min, max: flags === 1 ? reader.u32() : undefined };
}
