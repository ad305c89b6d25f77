import { nameOfSection } from "./wasm_proposals.ts";

/**
 * Reader of just enough of WebAssembly's binary format to meter it: sections, vectors, and the length of each
 * instruction. Everything else is refused, because unread code cannot be metered.
 *
 * @module
 */

/** Ids of the sections that the meter names; https://webassembly.github.io/spec/core/binary/modules.html. */
export const SECTION = {
  custom: 0,
  type: 1,
  import: 2,
  function: 3,
  table: 4,
  memory: 5,
  global: 6,
  export: 7,
  element: 9,
  code: 10,
  data: 11,
  dataCount: 12,
} as const;

/** Order of sections in a module. */
export const SECTION_ORDER: readonly number[] = [1, 2, 3, 4, 5, 6, 7, 9, 12, 10, 11];

/** First bytes of a module: `\0asm`, version 1. */
export const HEADER: readonly number[] = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];

/** Cursor over bytes that never reads past its end. */
export class WasmReader {
  /** Bytes that it reads. */
  readonly bytes: Uint8Array;
  /** Offset of the next byte. */
  position: number;
  /** Offset at which it must stop. */
  readonly end: number;

  /**
   * Begins at a position.
   *
   * @param bytes Bytes to read
   * @param position Offset of the first one. Default: 0
   * @param end Offset after the last one. Default: their number
   */
  constructor(bytes: Uint8Array, position = 0, end: number = bytes.length) {
    this.bytes = bytes;
    this.position = position;
    this.end = end;
  }

  /** Whether all bytes are read. */
  get done(): boolean {
    return this.position >= this.end;
  }

  /** Makes another reader of the remaining bytes, which moves on its own. */
  again(): WasmReader {
    return new WasmReader(this.bytes, this.position, this.end);
  }

  /** Returns the remaining bytes, not copied. */
  rest(): Uint8Array {
    return this.bytes.subarray(this.position, this.end);
  }

  /** Reads the next byte. */
  byte(): number {
    if (this.position >= this.end) this.fail("it ends too early");
    return this.bytes[this.position++] ?? 0;
  }

  /** Reads an unsigned integer of up to 32 bits, in LEB128. */
  u32(): number {
    const start = this.position;
    let result = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      result += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) {
        if (result > 0xffff_ffff) break;
        return result;
      }
    }
    return this.fail("an integer is too long", start);
  }

  /** Skips an integer in LEB128 of at most `maxBytes`: 5 bytes hold 32 bits, 10 hold 64. */
  skipInteger(maxBytes: number): void {
    const start = this.position;
    let bytes = 1;
    while (this.byte() >= 0x80) if (++bytes > maxBytes) this.fail("an integer is too long", start);
  }

  /** Skips a number of bytes. */
  skip(count: number): void {
    if (count > this.end - this.position) this.fail("it ends too early", this.end);
    this.position += count;
  }

  /**
   * Throws the error of a module that cannot be metered.
   *
   * @param what The problem
   * @param at Offset of the problem. Default: that of the next byte
   * @throws {WasmFormatError} Always
   */
  fail(what: string, at: number = this.position): never {
    throw new WasmFormatError(what, at);
  }

  /** Checks that a part, which is named in the message, ends here. */
  expectEnd(part: string): void {
    if (!this.done) this.fail(`${part} goes on after its end`);
  }

  /** Makes a reader of the next bytes, as many as the length before them says, and moves past them. */
  sized(): WasmReader {
    const length = this.u32();
    const start = this.position;
    this.skip(length);
    return new WasmReader(this.bytes, start, start + length);
  }
}

/** Failure to meter a module; the message says why and at which byte, to follow "because". */
export class WasmFormatError extends Error {
  /** Offset of the problem in the module, in bytes. */
  readonly offset: number;

  /**
   * Names a problem.
   *
   * @param what The problem
   * @param offset Offset of the problem
   */
  constructor(what: string, offset: number) {
    super(`${what} at byte ${offset}`);
    this.name = "WasmFormatError";
    this.offset = offset;
  }
}

/**
 * Reads the sections of a module.
 *
 * @param module A whole module
 * @returns Contents of the sections, by id; custom sections are left out
 * @throws {WasmFormatError} When it is no module, or has a section that is not in the list, or not in its place
 */
export function readSections(module: Uint8Array): Map<number, WasmReader> {
  const reader = new WasmReader(module);
  for (const expected of HEADER) {
    if (reader.byte() !== expected) reader.fail("it does not begin as a module does", reader.position - 1);
  }
  const sections = new Map<number, WasmReader>();
  let last = -1;
  while (!reader.done) {
    const at = reader.position;
    const id = reader.byte();
    const contents = reader.sized();
    if (id === SECTION.custom) continue;
    const place = SECTION_ORDER.indexOf(id);
    if (place < 0) reader.fail(`it has ${nameOfSection(id)},`, at);
    if (place <= last) reader.fail(`it has section ${id} twice or too late`, at);
    last = place;
    sections.set(id, contents);
  }
  return sections;
}

/** Piece of a module that is being written. */
export type Chunk = Uint8Array | readonly number[];

/** Sums the lengths of pieces, in bytes. */
export function lengthOf(chunks: readonly Chunk[]): number {
  return chunks.reduce((sum, { length }) => sum + length, 0);
}

/** Encodes an unsigned integer in LEB128. */
export function encodeU32(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? low | 0x80 : low);
  } while (rest > 0);
  return bytes;
}

/** Encodes a signed integer, which must not be negative, in LEB128. */
export function encodeS32(value: number): number[] {
  const bytes = encodeU32(value);
  const last = bytes.length - 1;
  const high = bytes[last] ?? 0;
  if ((high & 0x40) === 0) return bytes;
  bytes[last] = high | 0x80;
  return [...bytes, 0];
}
