import { ImageError } from "../../lib/core/errors.ts";
import type { Architecture } from "../eif/format.ts";
import type { ImageSource } from "../eif/image_source.ts";

/** Program or library in ELF, as far as its loader needs to know it. */
export interface ElfFile {
  readonly architecture: Architecture;
  /** Path of the loader that starts it; undefined for a library, and for a program without libraries. */
  readonly interpreter: string | undefined;
  /** Names of the libraries that it needs, in their order. */
  readonly needed: readonly string[];
}

const HEADER_BYTES = 64;
const SEGMENT_BYTES = 56;
const DYNAMIC_BYTES = 16;

/** Bounds of what is read: real ones have some twenty segments, fifty entries and 100 KB of names. */
const MAX_SEGMENTS = 256;
const MAX_DYNAMIC_BYTES = 65_536;
const MAX_STRING_BYTES = 16_777_216;
const MAX_PATH_BYTES = 4096;

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NULL = 0;
const DT_NEEDED = 1;
const DT_STRTAB = 5;
const DT_STRSZ = 10;

/** Processors by `e_machine`. */
const MACHINES: Readonly<Record<number, Architecture>> = { 62: "x86_64", 183: "aarch64" };

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly size: number;
}

/**
 * Reads the header of a program or a library: nothing of it is run, as `ldd` would.
 *
 * @param source The file
 * @param name Name of the file, for messages
 * @returns Its architecture, loader and libraries
 * @throws {ImageError} When it is no ELF of 64 bits for x86_64 or arm64, or is malformed
 */
export async function readElf(source: ImageSource, name: string): Promise<ElfFile> {
  const reader = new ElfReader(source, name);
  const architecture = await reader.open();
  const segments = await reader.segments();
  const interpreter = segments.find(({ type }) => type === PT_INTERP);
  return {
    architecture,
    interpreter: interpreter && await reader.interpreter(interpreter),
    needed: await reader.needed(segments),
  };
}

/**
 * Tells whether a file begins as ELF does.
 *
 * @param source The file
 */
export async function isElf(source: ImageSource): Promise<boolean> {
  if (source.size < HEADER_BYTES) return false;
  const [first, ...rest] = await source.read(0, 4);
  return first === 0x7f && String.fromCharCode(...rest) === "ELF";
}

class ElfReader {
  readonly #source: ImageSource;
  readonly #name: string;
  #header: DataView = new DataView(new ArrayBuffer(HEADER_BYTES));

  constructor(source: ImageSource, name: string) {
    this.#source = source;
    this.#name = name;
  }

  async open(): Promise<Architecture> {
    if (!await isElf(this.#source)) throw this.#malformed("it is no program in ELF");
    this.#header = await this.#view(0, HEADER_BYTES);
    const [bits, order] = [this.#header.getUint8(4), this.#header.getUint8(5)];
    const architecture = MACHINES[this.#header.getUint16(18, true)];
    if (bits !== 2 || order !== 1 || architecture === undefined) {
      throw this.#malformed("it is for another processor than x86_64 and arm64");
    }
    return architecture;
  }

  async segments(): Promise<Segment[]> {
    const [size, count] = [this.#header.getUint16(54, true), this.#header.getUint16(56, true)];
    if (count === 0) return [];
    if (size !== SEGMENT_BYTES || count > MAX_SEGMENTS) throw this.#malformed("its segments are malformed");
    const table = await this.#view(number(this.#header, 32), count * SEGMENT_BYTES);
    return Array.from({ length: count }, (_, index) => {
      const at = index * SEGMENT_BYTES;
      return {
        type: table.getUint32(at, true),
        offset: number(table, at + 8),
        address: number(table, at + 16),
        size: number(table, at + 32),
      };
    });
  }

  async interpreter({ offset, size }: Segment): Promise<string> {
    if (size > MAX_PATH_BYTES) throw this.#malformed("the path of its loader is too long");
    const path = text(await this.#view(offset, size), 0);
    if (path === undefined || !/^\/[\w./+-]+$/.test(path) || path.split("/").includes("..")) {
      throw this.#malformed("the path of its loader is none");
    }
    return path;
  }

  async needed(segments: readonly Segment[]): Promise<string[]> {
    const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
    if (dynamic === undefined) return [];
    if (dynamic.size > MAX_DYNAMIC_BYTES) throw this.#malformed("its dynamic section is too long");
    const entries = entriesOf(await this.#view(dynamic.offset, dynamic.size));
    const value = (tag: number) => entries.find(([one]) => one === tag)?.[1];
    const [address, size] = [value(DT_STRTAB), value(DT_STRSZ)];
    const names = entries.filter(([tag]) => tag === DT_NEEDED).map(([, at]) => at);
    if (names.length === 0) return [];
    if (address === undefined || size === undefined || size > MAX_STRING_BYTES) {
      throw this.#malformed("its table of names is missing or too long");
    }
    const strings = await this.#view(this.#placeOf(address, segments), size);
    return names.map((at) => {
      const name = text(strings, at);
      if (name === undefined || !/^[\w.+-]{1,255}$/.test(name) || /^\.+$/.test(name)) {
        throw this.#malformed("the name of a library is none");
      }
      return name;
    });
  }

  /** Finds the place in the file of an address in memory. */
  #placeOf(address: number, segments: readonly Segment[]): number {
    const segment = segments.find((one) =>
      one.type === PT_LOAD && address >= one.address && address < one.address + one.size
    );
    if (segment === undefined) throw this.#malformed("its table of names lies nowhere");
    return segment.offset + address - segment.address;
  }

  async #view(offset: number, size: number): Promise<DataView> {
    if (offset + size > this.#source.size) throw this.#malformed("it ends before its parts do");
    const bytes = await this.#source.read(offset, size);
    if (bytes.length !== size) throw this.#malformed("it became shorter while it was read");
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  #malformed(why: string): ImageError {
    return new ImageError(`Cannot read ${this.#name}: ${why}`, {
      hint: "Is it the runtime's own program, and not a script that starts it? And is it whole?",
    });
  }
}

/** Reads a number of 64 bits; one that JavaScript cannot hold lies beyond every file. */
function number(view: DataView, at: number): number {
  return Number(view.getBigUint64(at, true));
}

function entriesOf(view: DataView): [tag: number, value: number][] {
  const entries: [number, number][] = [];
  for (let at = 0; at + DYNAMIC_BYTES <= view.byteLength; at += DYNAMIC_BYTES) {
    const tag = number(view, at);
    if (tag === DT_NULL) break;
    entries.push([tag, number(view, at + 8)]);
  }
  return entries;
}

function text(view: DataView, at: number): string | undefined {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const end = at < bytes.length ? bytes.indexOf(0, at) : -1;
  return end < 0 ? undefined : String.fromCharCode(...bytes.subarray(at, Math.min(end, at + MAX_PATH_BYTES)));
}
