/** Parts of an ELF file to make. */
export interface ElfParts {
  /** Processor. Default: x86_64. */
  readonly architecture?: "x86_64" | "aarch64";
  /** Path of the loader; a library has none. */
  readonly interpreter?: string;
  /** Names of the libraries that it needs. */
  readonly needed?: readonly string[];
}

const HEADER = 64;
const SEGMENT = 56;

/** Address that the content is loaded at: another one than its place in the file. */
const BASE = 0x400000;

/**
 * Makes a file in ELF that a loader could read, and nobody could run.
 *
 * @param parts Processor, loader and libraries
 * @returns The file
 */
export function makeElf(
  { architecture = "x86_64", interpreter, needed = [] }: ElfParts,
): Uint8Array<ArrayBuffer> {
  const encoder = new TextEncoder();
  const names = encoder.encode(`\0${needed.map((name) => `${name}\0`).join("")}`);
  const loader = encoder.encode(interpreter === undefined ? "" : `${interpreter}\0`);
  const dynamic: [number, number][] = [];
  let at = 1;
  for (const name of needed) {
    dynamic.push([1, at]);
    at += name.length + 1;
  }
  const start = HEADER + 3 * SEGMENT;
  const places = {
    names: start,
    loader: start + names.length,
    dynamic: start + names.length + loader.length,
  };
  dynamic.push([5, BASE + places.names], [10, names.length], [0, 0]);
  const bytes = new Uint8Array(places.dynamic + dynamic.length * 16);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 3, true);
  view.setUint16(18, architecture === "x86_64" ? 62 : 183, true);
  view.setBigUint64(32, BigInt(HEADER), true);
  view.setUint16(54, SEGMENT, true);
  view.setUint16(56, 3, true);
  const segment = (index: number, type: number, offset: number, size: number) => {
    const place = HEADER + index * SEGMENT;
    view.setUint32(place, type, true);
    view.setBigUint64(place + 8, BigInt(offset), true);
    view.setBigUint64(place + 16, BigInt(BASE + offset), true);
    view.setBigUint64(place + 32, BigInt(size), true);
  };
  segment(0, 1, 0, bytes.length);
  segment(1, 2, places.dynamic, dynamic.length * 16);
  segment(2, interpreter === undefined ? 0 : 3, places.loader, loader.length);
  bytes.set(names, places.names);
  bytes.set(loader, places.loader);
  for (const [index, [tag, value]] of dynamic.entries()) {
    view.setBigUint64(places.dynamic + index * 16, BigInt(tag), true);
    view.setBigUint64(places.dynamic + index * 16 + 8, BigInt(value), true);
  }
  return bytes;
}
