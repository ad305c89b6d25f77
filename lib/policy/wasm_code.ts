import { WasmFormatError, type WasmReader } from "./wasm_reader.ts";

/**
 * A stretch of code that runs at most once between two charges: a function's body or a loop's. Or a single bulk
 * operation, which costs what its length costs.
 */
export interface Segment {
  /** Where its charge goes: an offset into the module. */
  readonly at: number;
  /** What one pass costs at most, in instructions; an expensive one counts as several. */
  weight: number;
  /** Whether it is a bulk operation; its length in bytes or entries is on top of the stack. */
  readonly isBulk: boolean;
}

/** What code may do. */
export interface CodeRules {
  /** Whether `memory.copy` and its like may stand in the code: in plug-ins, no. */
  readonly allowBulk: boolean;
}

const BLOCK = 0x02;
const LOOP = 0x03;
const IF = 0x04;
const END = 0x0b;
const MEMORY_GROW = 0x40;
const PREFIX_FC = 0xfc;

/** A function's locals are zeroed at each entry, about this many in the time of an instruction. */
const LOCALS_PER_INSTRUCTION = 4;

/**
 * @param body One entry of the code section, its locals first
 * @param rules What may stand in it
 * @returns The function's own segment first, then the others, in the order of the code
 * @throws {WasmFormatError} When an instruction is not known, or not allowed
 */
export function readSegments(body: WasmReader, rules: CodeRules): Segment[] {
  const locals = readLocals(body);
  let current = segmentAt(body.position, Math.ceil(locals / LOCALS_PER_INSTRUCTION));
  const segments = [current];
  const open = [current];
  while (open.length > 0) {
    const opcode = passPlain(body, current);
    if (opcode === END) {
      open.pop();
      current = open[open.length - 1] ?? current;
    } else if (opcode === LOOP) {
      body.skipInteger();
      current = segmentAt(body.position, 0);
      segments.push(current);
      open.push(current);
    } else if (opcode === BLOCK || opcode === IF) {
      body.skipInteger();
      open.push(current);
    } else if (opcode === PREFIX_FC) {
      const at = body.position - 1;
      if (skipPrefixed(body, rules)) segments.push({ ...segmentAt(at, 0), isBulk: true });
    } else {
      skipImmediates(body, opcode);
    }
  }
  if (!body.done) throw new WasmFormatError("a function goes on after its end");
  return segments;
}

/**
 * Passes over the instructions that most code is made of, in one tight loop: Cedar has two million.
 *
 * @returns The opcode of the first that is another, passed as well, but not what follows it
 */
function passPlain(body: WasmReader, segment: Segment): number {
  const { bytes, end } = body;
  let at = body.position;
  let weight = 0;
  for (;;) {
    const opcode = bytes[at++] ?? 0;
    const kind = KINDS[opcode];
    weight += WEIGHTS[opcode] ?? 0;
    if (at > end) throw new WasmFormatError("it ends too early");
    if (kind === Kind.none) continue;
    if (kind !== Kind.integer && kind !== Kind.memory) {
      body.position = at;
      segment.weight += weight;
      return opcode;
    }
    // From 64 on, the alignment announces the index of one of several memories.
    if (kind === Kind.memory && (bytes[at++] ?? 64) >= 64) {
      throw new WasmFormatError("it uses several memories");
    }
    while ((bytes[at++] ?? 0) >= 0x80);
  }
}

function segmentAt(at: number, weight: number): Segment {
  return { at, weight, isBulk: false };
}

function readLocals(body: WasmReader): number {
  let count = 0;
  for (let groups = body.u32(); groups > 0; groups--) {
    count += body.u32();
    body.skip(1);
  }
  return count;
}

function skipImmediates(body: WasmReader, opcode: number): void {
  switch (KINDS[opcode]) {
    case Kind.twoIntegers:
      body.skipInteger();
      return body.skipInteger();
    case Kind.labels:
      for (let labels = body.u32() + 1; labels > 0; labels--) body.skipInteger();
      return;
    case Kind.types:
      return body.skip(body.u32());
    case Kind.fourBytes:
      return body.skip(4);
    case Kind.eightBytes:
      return body.skip(8);
  }
  throw new WasmFormatError(`it uses the instruction 0x${opcode.toString(16)}`);
}

/** How many indices follow each of the bulk operations, `memory.init` first. */
const BULK_IMMEDIATES: readonly number[] = [2, 1, 2, 1, 2, 1, 2, 1, 1, 1];
const FIRST_BULK = 8;
/** `data.drop`, `elem.drop` and `table.size` have no length. */
const WITHOUT_LENGTH: readonly number[] = [9, 13, 16];

/** @returns Whether it is an operation with a length */
function skipPrefixed(body: WasmReader, rules: CodeRules): boolean {
  const operation = body.u32();
  if (operation < FIRST_BULK) return false; // saturating truncations
  const indices = BULK_IMMEDIATES[operation - FIRST_BULK];
  if (indices === undefined) throw new WasmFormatError(`it uses the instruction 0xfc ${operation}`);
  if (!rules.allowBulk) throw new WasmFormatError("it uses bulk-memory instructions");
  for (let index = 0; index < indices; index++) body.skipInteger();
  return !WITHOUT_LENGTH.includes(operation);
}

/** What follows an opcode; unknown is also what `readSegments` looks at itself. */
const Kind = {
  unknown: 0,
  none: 1,
  integer: 2,
  twoIntegers: 3,
  memory: 4,
  labels: 5,
  types: 6,
  fourBytes: 7,
  eightBytes: 8,
} as const;

/** By opcode; https://webassembly.github.io/spec/core/binary/instructions.html, without SIMD and exceptions. */
const KINDS: Uint8Array = table([
  [Kind.none, [0x00, 0x01], [0x05, 0x05], [0x0f, 0x0f], [0x1a, 0x1b], [0x45, 0xc4], [0xd1, 0xd1]],
  [Kind.integer, [0x0c, 0x0d], [0x10, 0x10], [0x20, 0x26], [0x3f, 0x42], [0xd0, 0xd0], [0xd2, 0xd2]],
  [Kind.twoIntegers, [0x11, 0x11]], // call_indirect
  [Kind.memory, [0x28, 0x3e]],
  [Kind.labels, [0x0e, 0x0e]], // br_table
  [Kind.types, [0x1c, 0x1c]], // select
  [Kind.fourBytes, [0x43, 0x43]],
  [Kind.eightBytes, [0x44, 0x44]],
]);

/** `memory.grow` leaves the code and makes a new buffer. */
const GROW_WEIGHT = 4096;
/** Divisions, square roots, and what rounds, truncates or converts. */
const SLOW_WEIGHT = 8;
const SLOW: readonly Range[] = [
  [0x6d, 0x70],
  [0x7f, 0x82],
  [0x8d, 0x91],
  [0x95, 0x95],
  [0x9b, 0x9f],
  [0xa3, 0xa3],
  [0xa8, 0xba],
  [0xfc, 0xfc],
];

const WEIGHTS: Readonly<Record<number, number>> = weights();

function weights(): Uint16Array {
  const all = new Uint16Array(256).fill(1);
  all[MEMORY_GROW] = GROW_WEIGHT;
  const slow = table([[1, ...SLOW]]);
  slow.forEach((isSlow, opcode) => isSlow === 1 && all.fill(SLOW_WEIGHT, opcode, opcode + 1));
  return all;
}

type Range = readonly [first: number, last: number];

function table(rows: readonly (readonly [kind: number, ...ranges: readonly Range[]])[]): Uint8Array {
  const all = new Uint8Array(256);
  for (const [kind, ...ranges] of rows) for (const [first, last] of ranges) all.fill(kind, first, last + 1);
  return all;
}
