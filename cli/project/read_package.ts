import { readFileSync, statSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { reasonOf } from "../reason.ts";
import { UsageError } from "../usage_error.ts";

/** Packed package of this library. */
export interface PackedPackage {
  /** Version that its manifest names. */
  readonly version: string;
  /** The tarball, as it was read. */
  readonly bytes: Uint8Array;
}

const NAME = "enclave-kms";
const MANIFEST = "package/package.json";
const HOW = "make it with `npm pack` where enclave-kms was built";

const MAX_PACKED_BYTES = 64 << 20;
const MAX_UNPACKED_BYTES = 256 << 20;
const BLOCK_BYTES = 512;

/**
 * Reads a tarball that `npm pack` made of this library.
 *
 * @param path File of the tarball
 * @throws {UsageError} When it cannot be read, or holds something else
 */
export function readPackage(path: string): PackedPackage {
  const bytes = readTarball(path);
  const manifest = parse(findManifest(unpack(bytes)));
  if (manifest.name !== NAME) throw new UsageError(`--package must hold ${NAME}: ${HOW}`);
  // It becomes part of a file's name.
  if (
    typeof manifest.version !== "string" ||
    !/^\d{1,6}(?:\.\d{1,6}){2}(?:-[\da-z.-]{1,32})?$/.test(manifest.version)
  ) {
    throw new UsageError("--package must hold a version such as 0.1.0");
  }
  return { version: manifest.version, bytes };
}

function readTarball(path: string): Uint8Array {
  try {
    const stat = statSync(path);
    if (!stat.isFile()) throw new UsageError(`--package must be a file: ${HOW}`);
    if (stat.size > MAX_PACKED_BYTES) throw new UsageError("--package must be at most 64 MiB");
    return readFileSync(path);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`--package must be a file that can be read: ${reasonOf(error)}; ${HOW}`);
  }
}

function unpack(bytes: Uint8Array): Uint8Array {
  try {
    return gunzipSync(bytes, { maxOutputLength: MAX_UNPACKED_BYTES });
  } catch {
    throw new UsageError(`--package must be a tarball (.tgz): ${HOW}`);
  }
}

/** Finds the manifest among the entries of a tar file; names and sizes only are read of the others. */
function findManifest(tar: Uint8Array): Uint8Array {
  for (let at = 0; at + BLOCK_BYTES <= tar.length;) {
    const name = textAt(tar, at, 100);
    const size = Number.parseInt(textAt(tar, at + 124, 12).trim() || "0", 8);
    if (!Number.isSafeInteger(size) || size < 0) break;
    const start = at + BLOCK_BYTES;
    if (name === MANIFEST) return tar.subarray(start, start + size);
    at = start + Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
  }
  throw new UsageError(`--package must have a package.json: ${HOW}`);
}

function textAt(bytes: Uint8Array, at: number, length: number): string {
  return new TextDecoder().decode(bytes.subarray(at, at + length)).split("\0", 1)[0] ?? "";
}

function parse(bytes: Uint8Array): { readonly name?: unknown; readonly version?: unknown } {
  try {
    return Object(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    throw new UsageError("--package must have a package.json that is JSON");
  }
}
