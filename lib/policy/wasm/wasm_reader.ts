import { nameOfSection } from "./wasm_proposals.ts";

/**
 * Reads just enough of the WebAssembly binary format to meter it: sections, vectors, and the length of each
 * instruction. Everything else is refused, because what cannot be read cannot be metered.
 *
 * @module
 */

/** The sections the rewriter speaks of; https://webassembly.github.io/spec/core/binary/modules.html. */
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

/** The order in which sections stand in a module. */
export const SECTION_ORDER: readonly number[] = [1, 2, 3, 4, 5, 6, 7, 9, 12, 10, 11];

/** `\0asm`, version 1. */
export const HEADER: readonly number[] = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];

/** A cursor over bytes that never reads past its end. */
export class WasmReader {
  /** What it reads. */
  readonly bytes: Uint8Array;
  /** Where the next byte is. */
  position: number;
  /** Where it must stop. */
  readonly end: number;

  /**
   * @param bytes What to read
   * @param position Where to begin
   * @param end Where to stop
   */
  constructor(bytes: Uint8Array, position = 0, end: number = bytes.length) {
    this.bytes = bytes;
    this.position = position;
    this.end = end;
  }

  /** Whether all is read. */
  get done(): boolean {
    return this.position >= this.end;
  }

  /** @returns Another reader of what is left, which moves on its own */
  again(): WasmReader {
    return new WasmReader(this.bytes, this.position, this.end);
  }

  /** @returns The bytes that are left, not copied */
  rest(): Uint8Array {
    return this.bytes.subarray(this.position, this.end);
  }

  /** @returns The next byte */
  byte(): number {
    if (this.position >= this.end) this.fail("it ends too early");
    return this.bytes[this.position++] ?? 0;
  }

  /** @returns An unsigned integer of up to 32 bits, in LEB128 */
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

  /** @param maxBytes How long an integer in LEB128 may be: 5 bytes hold 32 bits, 10 hold 64 */
  skipInteger(maxBytes: number): void {
    const start = this.position;
    let bytes = 1;
    while (this.byte() >= 0x80) if (++bytes > maxBytes) this.fail("an integer is too long", start);
  }

  /** @param count How many bytes to pass over */
  skip(count: number): void {
    if (count > this.end - this.position) this.fail("it ends too early", this.end);
    this.position += count;
  }

  /**
   * @param what The problem
   * @param at Where it is; default: where the next byte is
   * @throws {WasmFormatError} Always
   */
  fail(what: string, at: number = this.position): never {
    throw new WasmFormatError(what, at);
  }

  /** @param part What has to end here */
  expectEnd(part: string): void {
    if (!this.done) this.fail(`${part} goes on after its end`);
  }

  /** @returns A reader of the next bytes, as many as the length before them says; this one moves past them */
  sized(): WasmReader {
    const length = this.u32();
    const start = this.position;
    this.skip(length);
    return new WasmReader(this.bytes, start, start + length);
  }
}

/** The module is not one that can be metered; the message says why and at which byte, to follow "because". */
export class WasmFormatError extends Error {
  /** Where in the module, in bytes from its beginning. */
  readonly offset: number;

  /**
   * @param what The problem
   * @param offset Where it is
   */
  constructor(what: string, offset: number) {
    super(`${what} at byte ${offset}`);
    this.name = "WasmFormatError";
    this.offset = offset;
  }
}

/**
 * @param module A whole module
 * @returns The contents of its sections, each by its id; custom sections are left out
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

/** A piece of a module that is being written. */
export type Chunk = Uint8Array | readonly number[];

/** @returns How many bytes they are together */
export function lengthOf(chunks: readonly Chunk[]): number {
  return chunks.reduce((sum, { length }) => sum + length, 0);
}

/** @returns An unsigned integer in LEB128 */
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

/** @returns A signed integer that is not negative, in LEB128 */
export function encodeS32(value: number): number[] {
  const bytes = encodeU32(value);
  const last = bytes.length - 1;
  const high = bytes[last] ?? 0;
  if ((high & 0x40) === 0) return bytes;
  bytes[last] = high | 0x80;
  return [...bytes, 0];
}
