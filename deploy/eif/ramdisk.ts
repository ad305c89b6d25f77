import type { CpioEntry } from "./cpio.ts";

/** Content of a section or of a ramdisk's file: bytes, or a file with the hash that it must have. */
export type Content = Uint8Array | FileContent;

/** File whose content is taken. */
export interface FileContent {
  /** Path of the file. */
  readonly from: string;
  /** Length, in bytes. */
  readonly size: number;
  /** SHA-256 that its content must have, as 64 hex digits. Default: not compared. */
  readonly sha256?: string | undefined;
}

/** Entry of a ramdisk. */
export interface RamdiskEntry extends Omit<CpioEntry, "size"> {
  /** Content; of a symlink its target. A directory has none. */
  readonly content: Content;
}

/** Content of a directory. */
export const NO_CONTENT: Uint8Array<ArrayBuffer> = new Uint8Array();

/**
 * Counts the bytes of a content.
 *
 * @param content The content
 */
export function contentSize(content: Content): number {
  return content instanceof Uint8Array ? content.length : content.size;
}

/**
 * Orders entries by their paths and adds the folders that they lie in, so that the same files make the same ramdisk however
 * they were listed.
 *
 * @param entries Entries of a ramdisk
 * @returns All of them, sorted by the bytes of their paths, each folder before what it holds
 * @throws {TypeError} When a path is there twice, leads out of the ramdisk, or lies in what is no folder
 */
export function arrangeEntries(entries: readonly RamdiskEntry[]): RamdiskEntry[] {
  const byPath = new Map<string, RamdiskEntry>();
  for (const entry of entries) {
    checkPath(entry.path);
    if (byPath.has(entry.path)) throw new TypeError(`${entry.path} is there twice`);
    byPath.set(entry.path, entry);
  }
  for (const { path } of entries) {
    for (let end = path.indexOf("/"); end > 0; end = path.indexOf("/", end + 1)) {
      const folder = path.slice(0, end);
      const there = byPath.get(folder);
      if (there === undefined) {
        byPath.set(folder, { path: folder, type: "directory", mode: 0o755, content: NO_CONTENT });
      } else if (there.type !== "directory") {
        throw new TypeError(`${path} lies in ${folder}, which is a ${there.type}`);
      }
    }
  }
  return [...byPath.values()].sort((a, b) => compareBytes(a.path, b.path));
}

/** Orders by code points, as the bytes of UTF-8 do, and not by UTF-16 as strings do. */
function compareBytes(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => new TextEncoder().encode(text)) as [Uint8Array, Uint8Array];
  const length = Math.min(left.length, right.length);
  for (let at = 0; at < length; at++) if (left[at] !== right[at]) return left[at]! - right[at]!;
  return left.length - right.length;
}

function checkPath(path: string): void {
  const parts = path.split("/");
  if (
    path.length === 0 || path.includes("\0") || path === "TRAILER!!!" ||
    parts.some((part) => part === "" || part === "." || part === "..")
  ) {
    throw new TypeError(
      `${
        JSON.stringify(path)
      } is no path in a ramdisk: expected one without a leading slash, ".", ".." or empty parts`,
    );
  }
}
