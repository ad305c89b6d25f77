/**
 * Archives in cpio's format "newc", which the kernel unpacks as a ramdisk: uncompressed, root-owned, of time zero, with
 * inodes in order, so that the same entries always make the same bytes. See Documentation/driver-api/early-userspace/
 * buffer-format.rst of Linux.
 *
 * @module
 */
import { malformedImage } from "./image_error.ts";
import type { ImageSource } from "./image_source.ts";

/** Entry of a ramdisk without its content. */
export interface CpioEntry {
  /** Path without a leading slash, such as `rootfs/etc/hosts`. */
  readonly path: string;
  readonly type: "file" | "directory" | "symlink";
  /** Permissions, 0 to 0o7777. */
  readonly mode: number;
  /** Length of the content, in bytes: of a symlink that of its target. */
  readonly size: number;
}

/** Entry as it was read. */
export interface ReadCpioEntry extends CpioEntry {
  /** Place of the content in the image. */
  readonly offset: number;
  /** Owner and group. */
  readonly uid: number;
  readonly gid: number;
  /** Time of the last change, in seconds since 1970. */
  readonly mtime: number;
}

const MAGIC = "070701";
const HEADER_BYTES = 110;
const TRAILER = "TRAILER!!!";

/** Longest path that the kernel takes, in bytes with its end. */
const MAX_PATH_BYTES = 4096;

/** Longest part of a path in a message, in UTF-16 units. */
const MAX_QUOTED = 128;

/** Number of entries that are read of one archive. */
const MAX_ENTRIES = 1_000_000;

/** Bits of the mode that tell the type. */
const TYPE_BITS: Readonly<Record<CpioEntry["type"], number>> = {
  file: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
};

const TYPE_MASK = 0o170000;

/**
 * Writes what precedes an entry's content.
 *
 * @param entry The entry
 * @param inode Number of the entry in its archive, from 1
 * @returns Header, path, and zeros up to a multiple of four bytes
 */
export function cpioHeader({ path, type, mode, size }: CpioEntry, inode: number): Uint8Array<ArrayBuffer> {
  return header(path, [inode, TYPE_BITS[type] | mode, 0, 0, type === "directory" ? 2 : 1, 0, size]);
}

/** End of an archive, in its last bytes. */
export const CPIO_TRAILER: Uint8Array<ArrayBuffer> = header(TRAILER, [0, 0, 0, 0, 1, 0, 0]);

/**
 * Counts the zeros after a content.
 *
 * @param size Length of the content, in bytes
 * @returns 0 to 3
 */
export function cpioPadding(size: number): number {
  return -size & 3;
}

/**
 * Computes the length of an archive.
 *
 * @param entries Its entries
 * @returns Bytes, the trailer included
 */
export function cpioSize(entries: readonly CpioEntry[]): number {
  return entries.reduce(
    (sum, entry) => sum + headerSize(entry.path) + entry.size + cpioPadding(entry.size),
    CPIO_TRAILER.length,
  );
}

/**
 * Reads the entries of an archive, strictly: one archive, no link to another entry, no device, and only zeros after the
 * trailer.
 *
 * @param source Image that holds it
 * @param offset Place of its first byte
 * @param size Its length, in bytes
 * @returns Entries in their order
 * @throws {ImageError} When it is malformed, compressed, or holds something else
 */
export async function* readCpio(
  source: ImageSource,
  offset: number,
  size: number,
): AsyncGenerator<ReadCpioEntry> {
  const end = offset + size;
  let at = offset;
  for (let count = 0; count < MAX_ENTRIES; count++) {
    const fields = parseHeader(await source.read(at, Math.min(HEADER_BYTES, end - at)), at);
    const pathAt = at + HEADER_BYTES;
    if (pathAt + fields.pathSize > end) throw malformedImage(`a ramdisk ends within a path, at ${pathAt}`);
    const path = parsePath(await source.read(pathAt, fields.pathSize), pathAt);
    const contentAt = pathAt + fields.pathSize + cpioPadding(HEADER_BYTES + fields.pathSize);
    if (path === TRAILER) return await checkRest(source, contentAt, end);
    at = contentAt + fields.size + cpioPadding(fields.size);
    if (at > end) throw malformedImage(`a ramdisk ends within ${quote(path)}`);
    yield readEntry(path, fields, contentAt);
  }
  throw malformedImage(`a ramdisk has more than ${MAX_ENTRIES} entries`);
}

interface HeaderFields {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  readonly mtime: number;
  readonly size: number;
  readonly pathSize: number;
}

/** Fields after the magic: inode, mode, uid, gid, links, mtime, size. Four of devices, path length and check follow. */
function header(path: string, fields: readonly number[]): Uint8Array<ArrayBuffer> {
  const name = new TextEncoder().encode(path);
  const numbers = [...fields, 0, 0, 0, 0, name.length + 1, 0];
  const text = MAGIC + numbers.map((number) => number.toString(16).toUpperCase().padStart(8, "0")).join("");
  const bytes = new Uint8Array(headerSize(path));
  bytes.set(new TextEncoder().encode(text));
  bytes.set(name, HEADER_BYTES);
  return bytes;
}

function headerSize(path: string): number {
  const length = HEADER_BYTES + new TextEncoder().encode(path).length + 1;
  return length + cpioPadding(length);
}

function parseHeader(bytes: Uint8Array, at: number): HeaderFields {
  const text = String.fromCharCode(...bytes);
  if (bytes.length < HEADER_BYTES || !/^070701[0-9A-Fa-f]{104}$/.test(text)) {
    throw malformedImage(`a ramdisk is no uncompressed cpio archive (newc), at ${at}`);
  }
  const field = (index: number) => Number.parseInt(text.slice(6 + index * 8, 14 + index * 8), 16);
  const pathSize = field(11);
  if (pathSize < 2 || pathSize > MAX_PATH_BYTES) {
    throw malformedImage(`a path has ${pathSize} bytes, at ${at}`);
  }
  return {
    mode: field(1),
    uid: field(2),
    gid: field(3),
    links: field(4),
    mtime: field(5),
    size: field(6),
    pathSize,
  };
}

function parsePath(bytes: Uint8Array, at: number): string {
  const end = bytes.indexOf(0);
  if (end !== bytes.length - 1) {
    throw malformedImage(`a path of a ramdisk does not end where it says, at ${at}`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes.subarray(0, end));
  } catch {
    throw malformedImage(`a path of a ramdisk is not UTF-8, at ${at}`);
  }
}

function readEntry(path: string, fields: HeaderFields, offset: number): ReadCpioEntry {
  const { mode, uid, gid, links, mtime, size } = fields;
  const [type] = Object.entries(TYPE_BITS).find(([, bits]) => (mode & TYPE_MASK) === bits) ?? [];
  const name = quote(path);
  if (type === undefined || mode > 0o177777) {
    throw malformedImage(`${name} in a ramdisk is no file, directory or symlink (mode ${mode.toString(8)})`);
  }
  if (type === "file" && links > 1) throw malformedImage(`${name} in a ramdisk is a link to another entry`);
  if (type === "directory" && size > 0) {
    throw malformedImage(`${name} in a ramdisk is a directory with content`);
  }
  return { path, type: type as CpioEntry["type"], mode: mode & 0o7777, size, offset, uid, gid, mtime };
}

/** Quotes the beginning of a path, which has up to 4095 bytes, for a message. */
function quote(path: string): string {
  return JSON.stringify(path.length <= MAX_QUOTED ? path : `${path.slice(0, MAX_QUOTED)}…`);
}

async function checkRest(source: ImageSource, at: number, end: number): Promise<void> {
  if (at > end) throw malformedImage("a ramdisk ends within its trailer");
  for (let next = at; next < end; next += 65_536) {
    const piece = await source.read(next, Math.min(65_536, end - next));
    if (piece.some((byte) => byte !== 0)) throw malformedImage("something follows the trailer of a ramdisk");
  }
}
