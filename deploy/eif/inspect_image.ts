import { toHex } from "../../lib/core/bytes.ts";
import { diffContents, type ImageDifference, type ImageItem, listContents } from "./image_contents.ts";
import type { ImageSource } from "./image_source.ts";
import { measureImage, readImage } from "./read_image.ts";
import { type ImageHashes, WEB_HASHES } from "./sha384.ts";
import { verifySignature } from "./signature.ts";

/** Description of an image: its file, and what is measured of it. */
export interface ImageDescription {
  /** `x86_64` or `aarch64`, by a flag of the header, which is not measured. */
  readonly architecture: string;
  /** Length of the file, in bytes. */
  readonly bytes: number;
  /** SHA-384 of the file, 96 lowercase hex digits. */
  readonly sha384: string;
  /** PCR0 to PCR2, and PCR8 of a signed image, by index: 96 lowercase hex digits each. */
  readonly pcrs: Readonly<Record<number, string>>;
  /** Whether the image has a signature. */
  readonly isSigned: boolean;
  /** Command line of the kernel. */
  readonly commandLine: string;
  /** Sections in the order of the file; lengths in bytes. */
  readonly sections: readonly { readonly type: string; readonly size: number }[];
  /** Metadata as the builder wrote it. It is not measured: anybody can change it. Undefined when there is none. */
  readonly metadata: unknown;
  /** Kernel, command line and entries of the ramdisks, when they were asked for. */
  readonly contents?: readonly ImageItem[];
}

/** Options of {@link describeImage}. */
export interface DescribeImageOptions {
  /** Whether the entries of the ramdisks are listed. Default: false. */
  readonly contents?: boolean | undefined;
  /** Makers of hashes. Default: of WebCrypto, which collect the image in memory; see `NODE_HASHES`. */
  readonly hashes?: ImageHashes | undefined;
}

/**
 * Describes an image: measures it, and verifies its signature. It reads what nobody vouches for, strictly.
 *
 * Not guaranteed: who signed the image. The key policy says that, by PCR8.
 *
 * @param source The image: of `bytesSource()`, `blobSource()` or `fileSource()`
 * @param options Whether its contents are listed, and hashes
 * @returns The description. Its texts are somebody's: do not print them to a terminal as they are
 * @throws {ImageError} `ERR_IMAGE` when it is malformed, its CRC is wrong, or its signature is
 * @throws {RangeError} When it becomes shorter meanwhile
 * @example
 * ```ts
 * import { bytesSource, describeImage } from "enclave-kms/deploy";
 *
 * const error = await describeImage(bytesSource(new Uint8Array(548))).catch((error) => error);
 * error.message; // "Cannot read the image: it does not begin with .eif"
 * ```
 */
export async function describeImage(
  source: ImageSource,
  { contents = false, hashes = WEB_HASHES }: DescribeImageOptions = {},
): Promise<ImageDescription> {
  const image = await readImage(source);
  const { pcrs, sha384 } = await measureImage(source, image, hashes.newSha384);
  const signature = image.signature && await verifySignature(image.signature, pcrs[0]);
  return {
    architecture: image.header.architecture,
    bytes: source.size,
    sha384: toHex(sha384),
    pcrs: {
      0: toHex(pcrs[0]),
      1: toHex(pcrs[1]),
      2: toHex(pcrs[2]),
      ...(signature === undefined ? {} : { 8: toHex(signature.pcr8) }),
    },
    isSigned: signature !== undefined,
    commandLine: image.commandLine,
    sections: image.sections.map(({ type, size }) => ({ type, size })),
    metadata: image.metadata,
    ...(contents ? { contents: await listContents(source, image, hashes.newSha256) } : {}),
  };
}

/** Difference between two images: their PCRs, and what made them differ. */
export interface ImageComparison {
  /** Indices of the PCRs that differ, of 0, 1, 2 and 8. */
  readonly pcrs: readonly number[];
  /** Kernel, command line and entries that differ. */
  readonly differences: readonly ImageDifference[];
}

/**
 * Compares two images, and says which files make their PCRs differ.
 *
 * @param before One image
 * @param after The other one
 * @param options Hashes
 * @returns The differences; none when both measure the same
 * @throws {ImageError} `ERR_IMAGE` when one is malformed
 * @throws {RangeError} When one becomes shorter meanwhile
 */
export async function diffImages(
  before: ImageSource,
  after: ImageSource,
  { hashes }: Pick<DescribeImageOptions, "hashes"> = {},
): Promise<ImageComparison> {
  const old = await describeImage(before, { contents: true, hashes });
  const next = await describeImage(after, { contents: true, hashes });
  return {
    pcrs: [0, 1, 2, 8].filter((index) => old.pcrs[index] !== next.pcrs[index]),
    differences: diffContents(old.contents ?? [], next.contents ?? []),
  };
}
