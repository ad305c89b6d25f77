import { toHex } from "../../lib/core/bytes.ts";
import { readCpio } from "./cpio.ts";
import { type ImageSource, readPieces } from "./image_source.ts";
import type { EifImage } from "./read_image.ts";
import { type NewSha384, WEB_HASHES } from "./sha384.ts";

/** Thing that an image is made of, in words and by its hash. */
export interface ImageItem {
  /** Place, such as `kernel`, `command line` or `ramdisk 2, rootfs/app/config.json`. */
  readonly place: string;
  /** Type, such as `file`. Like mode and content, it differs when the item does. */
  readonly type: string;
  /** Mode in octal, such as `0755`, and what else differs from our own images; empty where there is none. */
  readonly mode: string;
  /** SHA-256 of the content, lowercase hex; of the command line itself. */
  readonly content: string;
}

/** Difference between two images. */
export interface ImageDifference {
  /** Place, as of {@link ImageItem}. */
  readonly place: string;
  /** End of a sentence, such as `has another content`. */
  readonly what: string;
}

/**
 * Lists what is measured of an image: kernel, command line and all entries of its ramdisks.
 *
 * @param source The image
 * @param image Its content, as `readImage()` has read it
 * @param newSha256 Maker of the hashes. Default: by WebCrypto, which collects each file in memory
 * @returns Items in the order of the file
 * @throws {ImageError} When a ramdisk is malformed
 */
export async function listContents(
  source: ImageSource,
  { sections, commandLine }: EifImage,
  newSha256: NewSha384 = WEB_HASHES.newSha256,
): Promise<ImageItem[]> {
  const hashOf = async (from: number, length: number) => {
    const hash = newSha256();
    for await (const piece of readPieces(source, from, length)) hash.update(piece);
    return toHex(await hash.digest());
  };
  const items: ImageItem[] = [];
  let ramdisk = 0;
  for (const { type, offset, size } of sections) {
    if (type === "kernel") {
      items.push({ place: "kernel", type: "file", mode: "", content: await hashOf(offset, size) });
    }
    if (type === "cmdline") {
      items.push({ place: "command line", type: "text", mode: "", content: commandLine });
    }
    if (type !== "ramdisk") continue;
    ramdisk++;
    for await (const entry of readCpio(source, offset, size)) {
      const { uid, gid, mtime } = entry;
      const isPlain = uid === 0 && gid === 0 && mtime === 0;
      items.push({
        place: `ramdisk ${ramdisk}, ${entry.path}`,
        type: entry.type,
        mode: entry.mode.toString(8).padStart(4, "0") + (isPlain ? "" : ` of ${uid}:${gid} at ${mtime}`),
        content: await hashOf(entry.offset, entry.size),
      });
    }
  }
  return items;
}

/**
 * Compares the contents of two images.
 *
 * @param before Items of one
 * @param after Items of the other
 * @returns Differences, in the order of the second, then what is missing in it. None when both measure the same, unless
 *   their items stand in another order
 */
export function diffContents(before: readonly ImageItem[], after: readonly ImageItem[]): ImageDifference[] {
  const old = new Map(before.map((item) => [item.place, item]));
  const changed = after.flatMap((item) => {
    const there = old.get(item.place);
    old.delete(item.place);
    const what = there === undefined ? "is new" : differenceOf(there, item);
    return what === undefined ? [] : [{ place: item.place, what }];
  });
  const gone = [...old.keys()].map((place) => ({ place, what: "is gone" }));
  const isReordered = changed.length + gone.length === 0 &&
    before.some(({ place }, index) => place !== after[index]?.place);
  return isReordered
    ? [{ place: "the order of the entries", what: "is another one" }]
    : [...changed, ...gone];
}

function differenceOf(before: ImageItem, after: ImageItem): string | undefined {
  const differences = [
    before.type === after.type ? undefined : `is a ${after.type}, and was a ${before.type}`,
    before.mode === after.mode ? undefined : `has mode ${after.mode}, and had ${before.mode}`,
    before.content === after.content || before.type !== after.type ? undefined : "has another content",
  ].filter((difference) => difference !== undefined);
  return differences.length === 0 ? undefined : differences.join(" and ");
}
