import { parseStrictJson } from "../strict_json.ts";
import { Crc32 } from "./crc32.ts";
import {
  CRC_OFFSET,
  decodeEifHeader,
  decodeSectionHeader,
  EIF_HEADER_BYTES,
  type EifHeader,
  type Section,
  SECTION_HEADER_BYTES,
  type SectionType,
} from "./format.ts";
import { malformedImage } from "./image_error.ts";
import { type ImageSource, readPieces } from "./image_source.ts";
import { type ImagePcrs, Measurer } from "./measurer.ts";
import { type NewSha384, webSha384 } from "./sha384.ts";

/** Longest command line that the kernel takes, in bytes: 2048 with its end. */
const MAX_COMMAND_LINE_BYTES = 2047;

/** Longest metadata, in bytes. */
const MAX_METADATA_BYTES = 1_048_576;

/** Longest signature section, in bytes: a certificate and a signature, two bytes or less for each of theirs. */
const MAX_SIGNATURE_BYTES = 65_536;

/** Content of an image, but its kernel and ramdisks, which stay in the file. */
export interface EifImage {
  readonly header: EifHeader;
  /** All sections, in the order of the file. */
  readonly sections: readonly Section[];
  /** Command line of the kernel. */
  readonly commandLine: string;
  /** Metadata as the builder wrote it, not measured: anybody can change it. Undefined when there is none. */
  readonly metadata: unknown;
  /** Content of the signature section; undefined when the image is not signed. */
  readonly signature: Uint8Array | undefined;
}

/** Order in which sections may stand, as a text of their first letters. */
const ORDER = /^kcm?r+s?$/;

const LETTERS: Readonly<Record<SectionType, string>> = {
  kernel: "k",
  cmdline: "c",
  metadata: "m",
  ramdisk: "r",
  signature: "s",
};

/**
 * Reads an image's headers and small sections, strictly: sections follow one another without a gap, as the header says,
 * and nothing follows the last one. The CRC is not computed: see {@link measureImage}.
 *
 * @param source The image
 * @returns Its content
 * @throws {ImageError} When it is malformed
 */
export async function readImage(source: ImageSource): Promise<EifImage> {
  const header = decodeEifHeader(await source.read(0, Math.min(source.size, EIF_HEADER_BYTES)));
  const sections = await readSections(source, header);
  const order = sections.map(({ type }) => LETTERS[type]).join("");
  if (!ORDER.test(order)) {
    throw malformedImage(
      `its sections are ${
        sections.map(({ type }) => type).join(", ")
      }: expected kernel, cmdline, metadata, one or ` +
        "more ramdisks, and at most one signature",
    );
  }
  const find = (wanted: SectionType) => sections.find(({ type }) => type === wanted);
  const commandLine = await readSmall(source, find("cmdline")!, MAX_COMMAND_LINE_BYTES);
  const metadata = find("metadata");
  const signature = find("signature");
  return {
    header,
    sections,
    commandLine: decodeText(commandLine, "its command line"),
    metadata: metadata && parseMetadata(await readSmall(source, metadata, MAX_METADATA_BYTES)),
    signature: signature && await readSmall(source, signature, MAX_SIGNATURE_BYTES),
  };
}

/** Measurements of a file. */
export interface MeasuredImage {
  readonly pcrs: ImagePcrs;
  /** SHA-384 of the whole file, 48 bytes. */
  readonly sha384: Uint8Array;
}

/**
 * Measures an image, and compares its CRC with that of its header.
 *
 * @param source The image
 * @param image Its content, as {@link readImage} has read it
 * @param newHash Maker of the hashes. Default: by WebCrypto, which collects the image in memory
 * @returns PCR0 to PCR2, and the file's own hash
 * @throws {ImageError} When the CRC is another one
 * @throws {RangeError} When the file became shorter meanwhile
 */
export async function measureImage(
  source: ImageSource,
  { sections, header }: EifImage,
  newHash: NewSha384 = webSha384,
): Promise<MeasuredImage> {
  const measurer = new Measurer(newHash);
  const whole = newHash();
  const crc = new Crc32();
  const head = await source.read(0, EIF_HEADER_BYTES);
  whole.update(head);
  crc.update(head.subarray(0, CRC_OFFSET));
  for (const { type, offset, size } of sections) {
    const measure = measurer.begin(type);
    const take = (bytes: Uint8Array) => {
      whole.update(bytes);
      crc.update(bytes);
    };
    take(await source.read(offset - SECTION_HEADER_BYTES, SECTION_HEADER_BYTES));
    for await (const piece of readPieces(source, offset, size)) {
      take(piece);
      measure(piece);
    }
  }
  if (crc.value !== header.crc32) {
    throw malformedImage(`its CRC-32 is ${hex32(crc.value)}, and its header says ${hex32(header.crc32)}`);
  }
  return { pcrs: await measurer.finish(), sha384: await whole.digest() };
}

async function readSections(source: ImageSource, { places }: EifHeader): Promise<Section[]> {
  const sections: Section[] = [];
  let end = EIF_HEADER_BYTES;
  for (const [index, place] of places.entries()) {
    if (place.offset !== end) {
      throw malformedImage(`section ${index} begins at ${place.offset} by its header, and ${end} is next`);
    }
    const offset = end + SECTION_HEADER_BYTES;
    if (offset > source.size) throw malformedImage(`it ends before section ${index}`);
    const { type, size } = decodeSectionHeader(await source.read(end, SECTION_HEADER_BYTES), index);
    if (size !== place.size) {
      throw malformedImage(`section ${index} has ${size} bytes, and by the image's header ${place.size}`);
    }
    end = offset + size;
    if (end > source.size) throw malformedImage(`it ends within section ${index}`);
    sections.push({ type, offset, size });
  }
  if (end !== source.size) throw malformedImage(`${source.size - end} bytes follow its last section`);
  return sections;
}

async function readSmall(
  source: ImageSource,
  { type, offset, size }: Section,
  max: number,
): Promise<Uint8Array> {
  if (size > max) throw malformedImage(`its ${type} has ${size} bytes, more than ${max}`);
  const bytes = await source.read(offset, size);
  if (bytes.length !== size) throw malformedImage(`it ends within its ${type}`);
  return bytes;
}

function parseMetadata(bytes: Uint8Array): unknown {
  return parseStrictJson(
    decodeText(bytes, "its metadata"),
    (why) => malformedImage(`of its metadata, ${why}`),
  );
}

function decodeText(bytes: Uint8Array, what: string): string {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    if (!text.includes("\0")) return text;
  } catch {
    // Told below.
  }
  throw malformedImage(`${what} is not UTF-8 without zero bytes`);
}

function hex32(value: number): string {
  return value.toString(16).padStart(8, "0");
}
