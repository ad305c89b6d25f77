import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { ImageError } from "../../lib/core/errors.ts";
import { fileHandleSource } from "./file_handle_source.ts";
import type { ImageSource } from "./image_source.ts";

/** Source that is an open file. */
export interface FileSource extends ImageSource, AsyncDisposable {}

/**
 * Opens a file as a source.
 *
 * @param path Path of the file
 * @param name Name of the file in messages. Default: its path
 * @returns The source; dispose it with `await using`
 * @throws {ImageError} When it cannot be opened, or is no file: a device has no end, and a pipe may never begin
 * @example
 * ```ts
 * import { fileSource } from "enclave-kms/deploy/node";
 *
 * await using source = await fileSource("package.json");
 * new TextDecoder().decode(await source.read(0, 1)); // "{"
 * ```
 */
export async function fileSource(path: string, name: string = path): Promise<FileSource> {
  const file = await openFile(path, name);
  const stat = await file.stat();
  if (!stat.isFile()) {
    await file.close();
    throw unreadable(name, "it is no file");
  }
  return { ...fileHandleSource(file, stat.size), [Symbol.asyncDispose]: () => file.close() };
}

/**
 * Reads a file whole.
 *
 * @param path Path of the file
 * @param maxBytes Most bytes that are read
 * @param name Name of the file in messages. Default: its path
 * @returns Its bytes
 * @throws {ImageError} When it cannot be read, is no file, is longer, or changes meanwhile
 */
export async function readWhole(
  path: string,
  maxBytes: number,
  name: string = path,
): Promise<Uint8Array<ArrayBuffer>> {
  await using source = await fileSource(path, name);
  const { size } = source;
  if (size > maxBytes) throw unreadable(name, `it has ${size} bytes, more than ${maxBytes}`);
  const bytes = await source.read(0, size) as Uint8Array<ArrayBuffer>;
  if (bytes.length !== size) throw unreadable(name, "it became shorter while it was read");
  return bytes;
}

/** Opens without waiting for whoever writes to a pipe. */
async function openFile(path: string, name: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    const { code = "unknown error" } = cause as { code?: string };
    throw unreadable(name, code, cause);
  }
}

function unreadable(name: string, why: string, cause?: unknown): ImageError {
  return new ImageError(`Cannot read ${name}: ${why}`, {
    hint: "Is the path right, from the folder of the manifest? And may this user read it?",
    cause,
  });
}
