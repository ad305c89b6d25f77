/**
 * Headers of an Enclave Image File (EIF), version 4: a header of 548 bytes, then sections of a header of 12 bytes and
 * content. Numbers are big-endian. See src/defs/mod.rs of aws-nitro-enclaves-image-format.
 *
 * @module
 */
import { malformedImage } from "./image_error.ts";

/** Length of an image's header, in bytes. */
export const EIF_HEADER_BYTES = 548;

/** Length of a section's header, in bytes. */
export const SECTION_HEADER_BYTES = 12;

/** Number of sections that a header has room for. */
export const MAX_SECTIONS = 32;

/** Architecture of an enclave's processors. */
export type Architecture = "x86_64" | "aarch64";

/** Kind of a section. */
export type SectionType = "kernel" | "cmdline" | "ramdisk" | "signature" | "metadata";

/** Section of an image. */
export interface Section {
  readonly type: SectionType;
  /** Place of the content in the file, after the section's header. */
  readonly offset: number;
  /** Length of the content, in bytes. */
  readonly size: number;
}

/** Header of an image. Nothing of it is measured. */
export interface EifHeader {
  readonly architecture: Architecture;
  /** Memory that the image asks for, in bytes; the launch decides. */
  readonly memoryBytes: number;
  /** Number of processors that the image asks for; the launch decides. */
  readonly cpuCount: number;
  /** Sections by the offsets of their headers and the lengths of their contents. */
  readonly places: readonly { readonly offset: number; readonly size: number }[];
  /** CRC-32 of the file but these four bytes. */
  readonly crc32: number;
}

const MAGIC = 0x2e656966;
const VERSION = 4;
const FLAG_AARCH64 = 1;

const SECTION_TYPES: Readonly<Record<SectionType, number>> = {
  kernel: 1,
  cmdline: 2,
  ramdisk: 3,
  signature: 4,
  metadata: 5,
};

/** Place of the CRC: the last field. */
export const CRC_OFFSET: number = EIF_HEADER_BYTES - 4;

const OFFSETS_AT = 28;
const SIZES_AT = OFFSETS_AT + MAX_SECTIONS * 8;

/**
 * Writes the header of an image.
 *
 * @param header Its fields; at most 32 places
 * @returns 548 bytes
 */
export function encodeEifHeader(header: EifHeader): Uint8Array<ArrayBuffer> {
  const { architecture, memoryBytes, cpuCount, places, crc32 } = header;
  const view = new DataView(new ArrayBuffer(EIF_HEADER_BYTES));
  view.setUint32(0, MAGIC);
  view.setUint16(4, VERSION);
  view.setUint16(6, architecture === "aarch64" ? FLAG_AARCH64 : 0);
  view.setBigUint64(8, BigInt(memoryBytes));
  view.setBigUint64(16, BigInt(cpuCount));
  view.setUint16(26, places.length);
  places.forEach(({ offset, size }, index) => {
    view.setBigUint64(OFFSETS_AT + index * 8, BigInt(offset));
    view.setBigUint64(SIZES_AT + index * 8, BigInt(size));
  });
  view.setUint32(CRC_OFFSET, crc32);
  return new Uint8Array(view.buffer);
}

/**
 * Reads the header of an image. What is reserved must be zero, since nobody could say what it means.
 *
 * @param bytes First 548 bytes of the file
 * @returns Its fields; the places are not compared with the file
 * @throws {ImageError} When it is of another kind or version, or malformed
 */
export function decodeEifHeader(bytes: Uint8Array): EifHeader {
  if (bytes.length !== EIF_HEADER_BYTES) throw malformedImage("it is shorter than its header of 548 bytes");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(0) !== MAGIC) throw malformedImage("it does not begin with .eif");
  const version = view.getUint16(4);
  if (version !== VERSION) throw malformedImage(`its version is ${version}, and only ${VERSION} is known`);
  const flags = view.getUint16(6);
  if ((flags & ~FLAG_AARCH64) !== 0) {
    throw malformedImage(`its flags are 0x${flags.toString(16)}: none but 1 is known`);
  }
  const count = view.getUint16(26);
  if (count > MAX_SECTIONS) throw malformedImage(`it has ${count} sections, more than ${MAX_SECTIONS}`);
  const number = (at: number, what: string) => safeNumber(view.getBigUint64(at), what);
  const place = (index: number) => ({
    offset: number(OFFSETS_AT + index * 8, `the offset of section ${index}`),
    size: number(SIZES_AT + index * 8, `the size of section ${index}`),
  });
  const places = Array.from({ length: MAX_SECTIONS }, (_, index) => place(index));
  const isUnused = places.slice(count).every(({ offset, size }) => offset === 0 && size === 0);
  if (view.getUint16(24) !== 0 || view.getUint32(CRC_OFFSET - 4) !== 0 || !isUnused) {
    throw malformedImage("a reserved field of its header is not zero");
  }
  return {
    architecture: flags === FLAG_AARCH64 ? "aarch64" : "x86_64",
    memoryBytes: number(8, "the memory"),
    cpuCount: number(16, "the number of processors"),
    places: places.slice(0, count),
    crc32: view.getUint32(CRC_OFFSET),
  };
}

/**
 * Writes the header of a section.
 *
 * @param type Kind of the section
 * @param size Length of its content, in bytes
 * @returns 12 bytes
 */
export function encodeSectionHeader(type: SectionType, size: number): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(SECTION_HEADER_BYTES));
  view.setUint16(0, SECTION_TYPES[type]);
  view.setBigUint64(4, BigInt(size));
  return new Uint8Array(view.buffer);
}

/**
 * Reads the header of a section.
 *
 * @param bytes 12 bytes
 * @param index Number of the section, for messages
 * @returns Kind and length of the content
 * @throws {ImageError} When its kind is unknown, or it has flags
 */
export function decodeSectionHeader(bytes: Uint8Array, index: number): Omit<Section, "offset"> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const number = view.getUint16(0);
  const [type] = Object.entries(SECTION_TYPES).find(([, known]) => known === number) ?? [];
  if (type === undefined) throw malformedImage(`section ${index} is of type ${number}, which is none`);
  if (view.getUint16(2) !== 0) throw malformedImage(`section ${index} has flags, and none is known`);
  return {
    type: type as SectionType,
    size: safeNumber(view.getBigUint64(4), `the size of section ${index}`),
  };
}

function safeNumber(value: bigint, what: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw malformedImage(`${what} is ${value}, which no file has`);
  return Number(value);
}
