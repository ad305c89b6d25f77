import type { FileHandle } from "node:fs/promises";
import type { ImageSource } from "./image_source.ts";

/**
 * Makes a source of an open file.
 *
 * @param file The file; stays the caller's
 * @param size Its length, in bytes
 * @returns The source
 */
export function fileHandleSource(file: FileHandle, size: number): ImageSource {
  const read = async (offset: number, length: number) => {
    const bytes = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      const { bytesRead } = await file.read(bytes, filled, length - filled, offset + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return bytes.subarray(0, filled);
  };
  return { size, read };
}
