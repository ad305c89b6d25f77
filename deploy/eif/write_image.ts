import { createHash } from "node:crypto";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { Crc32 } from "./crc32.ts";
import { CPIO_TRAILER, cpioHeader, cpioPadding, cpioSize } from "./cpio.ts";
import { fileHandleSource } from "./file_handle_source.ts";
import { fileSource } from "./file_source.ts";
import {
  type Architecture,
  CRC_OFFSET,
  EIF_HEADER_BYTES,
  encodeEifHeader,
  encodeSectionHeader,
  MAX_SECTIONS,
  type SectionType,
} from "./format.ts";
import { changedFile, otherHash } from "./image_error.ts";
import { CHUNK_BYTES, readPieces } from "./image_source.ts";
import { type ImagePcrs, Measurer } from "./measurer.ts";
import { nodeSha384 } from "./node_sha384.ts";
import { type Content, contentSize, type RamdiskEntry } from "./ramdisk.ts";
import { type MeasuredImage, measureImage, readImage } from "./read_image.ts";

/** Parts of an image. */
export interface ImageParts {
  readonly architecture: Architecture;
  /** Kernel, as the hypervisor loads it: a bzImage for x86_64, an Image for aarch64. */
  readonly kernel: Content;
  /** Command line of the kernel, at most 2047 bytes of UTF-8. */
  readonly commandLine: string;
  /** Metadata as JSON has it; not measured. */
  readonly metadata: unknown;
  /** Ramdisks, in their order; the first one holds init. */
  readonly ramdisks: readonly (readonly RamdiskEntry[])[];
  /** Makes the content of the signature section of PCR0. Default: the image is not signed. */
  readonly sign?: ((pcr0: Uint8Array) => Promise<Uint8Array>) | undefined;
}

/** An image that was written. */
export interface WrittenImage extends MeasuredImage {
  /** Length of the file, in bytes. */
  readonly size: number;
}

/** Memory and processors that the header asks for, as nitro-cli writes them; the launch decides. */
const DEFAULTS = { memoryBytes: 1_073_741_824, cpuCount: 2 };

/**
 * Writes an image. The file appears whole or not at all, with the same bytes for the same parts. What was written is read
 * again and measured.
 *
 * @param path File to write; one that is there is replaced
 * @param parts Parts of the image
 * @param onProgress Called with the bytes written and the number of all of them. Default: nobody is told
 * @returns Measurements of the file
 * @throws {ImageError} When a file has another hash or length than it must have, or cannot be read
 * @throws {RangeError} When there are too many ramdisks
 */
export async function writeImage(
  path: string,
  parts: ImageParts,
  onProgress: (written: number, total: number) => void = () => {},
): Promise<WrittenImage> {
  if (parts.ramdisks.length + 4 > MAX_SECTIONS) throw new RangeError("There are too many ramdisks");
  const draft = `${path}.${crypto.randomUUID()}.part`;
  const file = await open(draft, "wx+", 0o644);
  try {
    const written = await new ImageWriter(file, parts, onProgress).write();
    await file.sync();
    await file.close();
    await rename(draft, path);
    return written;
  } catch (error) {
    await file.close().catch(() => {});
    await rm(draft, { force: true });
    throw error;
  }
}

class ImageWriter {
  readonly #file: FileHandle;
  readonly #parts: ImageParts;
  readonly #onProgress: (written: number, total: number) => void;
  readonly #measurer = new Measurer(nodeSha384);
  readonly #places: { offset: number; size: number }[] = [];
  readonly #total: number;
  #end = EIF_HEADER_BYTES;
  #measure: (bytes: Uint8Array) => void = () => {};

  constructor(file: FileHandle, parts: ImageParts, onProgress: (written: number, total: number) => void) {
    this.#file = file;
    this.#parts = parts;
    this.#onProgress = onProgress;
    this.#total = contentSize(parts.kernel) + parts.ramdisks.reduce((sum, disk) => sum + sizeOf(disk), 0);
  }

  async write(): Promise<WrittenImage> {
    const { kernel, commandLine, metadata, ramdisks, sign } = this.#parts;
    await this.#writeSection("kernel", contentSize(kernel), () => this.#writeContent(kernel, "the kernel"));
    await this.#writeBytes("cmdline", new TextEncoder().encode(commandLine));
    await this.#writeBytes("metadata", new TextEncoder().encode(JSON.stringify(metadata)));
    for (const entries of ramdisks) {
      await this.#writeSection("ramdisk", sizeOf(entries), () => this.#writeEntries(entries));
    }
    const pcrs = await this.#measurer.finish();
    if (sign !== undefined) await this.#writeBytes("signature", await sign(pcrs[0]));
    await this.#writeHeader();
    return await this.#check(pcrs);
  }

  async #writeBytes(type: SectionType, bytes: Uint8Array): Promise<void> {
    await this.#writeSection(type, bytes.length, () => this.#append(bytes));
  }

  async #writeSection(type: SectionType, size: number, write: () => Promise<void>): Promise<void> {
    this.#places.push({ offset: this.#end, size });
    this.#measure = () => {};
    await this.#append(encodeSectionHeader(type, size));
    // The signature comes after the measurements.
    if (type !== "signature") this.#measure = this.#measurer.begin(type);
    await write();
  }

  async #writeEntries(entries: readonly RamdiskEntry[]): Promise<void> {
    for (const [index, entry] of entries.entries()) {
      const size = contentSize(entry.content);
      await this.#append(cpioHeader({ ...entry, size }, index + 1));
      await this.#writeContent(entry.content, entry.path);
      await this.#append(new Uint8Array(cpioPadding(size)));
    }
    await this.#append(CPIO_TRAILER);
  }

  async #writeContent(content: Content, name: string): Promise<void> {
    if (content instanceof Uint8Array) return await this.#append(content);
    const { from, size, sha256 } = content;
    await using source = await fileSource(from);
    if (source.size !== size) {
      throw changedFile(name, `${from} has ${source.size} bytes, and ${size} were expected`);
    }
    const hash = createHash("sha256");
    for await (const piece of readPieces(source, 0, size)) {
      hash.update(piece);
      await this.#append(piece);
    }
    const found = hash.digest("hex");
    if (sha256 !== undefined && found !== sha256) throw otherHash(name, { from, found, expected: sha256 });
  }

  async #append(bytes: Uint8Array): Promise<void> {
    this.#measure(bytes);
    await this.#file.write(bytes, 0, bytes.length, this.#end);
    this.#end += bytes.length;
    if (bytes.length === CHUNK_BYTES) this.#onProgress(this.#end, this.#total);
  }

  /** The CRC covers the header, which is known last. */
  async #writeHeader(): Promise<void> {
    const { architecture } = this.#parts;
    const header = { architecture, ...DEFAULTS, places: this.#places, crc32: 0 };
    const crc = new Crc32();
    crc.update(encodeEifHeader(header).subarray(0, CRC_OFFSET));
    const source = fileHandleSource(this.#file, this.#end);
    for await (const piece of readPieces(source, EIF_HEADER_BYTES, this.#end - EIF_HEADER_BYTES)) {
      crc.update(piece);
    }
    await this.#file.write(encodeEifHeader({ ...header, crc32: crc.value }), 0, EIF_HEADER_BYTES, 0);
  }

  async #check(pcrs: ImagePcrs): Promise<WrittenImage> {
    const source = fileHandleSource(this.#file, this.#end);
    const measured = await measureImage(source, await readImage(source), nodeSha384);
    for (const index of [0, 1, 2] as const) {
      if (String(measured.pcrs[index]) === String(pcrs[index])) continue;
      throw changedFile("the image", "what was written is not what is read: is the disk all right?");
    }
    return { ...measured, size: this.#end };
  }
}

function sizeOf(entries: readonly RamdiskEntry[]): number {
  return cpioSize(entries.map((entry) => ({ ...entry, size: contentSize(entry.content) })));
}
