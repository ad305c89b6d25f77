import { randomUUID } from "node:crypto";
import { link, open, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { SharedKeyStore, StoreCall } from "./store.ts";

/**
 * Makes a store of a folder, for development and tests: on a laptop several simulated enclaves share it. An enclave has
 * no folder that another one sees.
 *
 * @param folder Path of a folder that exists, on a file system with hard links
 * @returns The store
 * @throws {TypeError} When the path is no text, or empty
 * @example
 * ```ts
 * import { mkdtempSync } from "node:fs";
 * import { tmpdir } from "node:os";
 * import { join } from "node:path";
 * import { fileKeyStore } from "enclave-kms/enclave";
 *
 * const store = fileKeyStore(mkdtempSync(join(tmpdir(), "keys-")));
 * const call = { signal: new AbortController().signal, maxBytes: 16_384 };
 * await store.create("orders.1", new Uint8Array([1]), call); // true
 * await store.create("orders.1", new Uint8Array([2]), call); // false: the first one stays
 * ```
 */
export function fileKeyStore(folder: string): SharedKeyStore {
  if (typeof folder !== "string" || folder === "") throw new TypeError("folder must be the path of a folder");
  return {
    read: (name, call) => readBounded(join(folder, name), call),
    create: (name, bytes) => createOnce(folder, name, bytes),
  };
}

async function readBounded(path: string, { maxBytes }: StoreCall): Promise<Uint8Array | undefined> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path, "r");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
  try {
    // One more than is taken, so that the caller sees that it is too large.
    const bytes = new Uint8Array(maxBytes + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await file.read(bytes, length, bytes.length - length, null);
      length += bytesRead;
      if (bytesRead === 0 || length === bytes.length) return bytes.subarray(0, length);
    }
  } finally {
    await file.close();
  }
}

/** A link is made in one step, and to a file that is complete. */
async function createOnce(folder: string, name: string, bytes: Uint8Array): Promise<boolean> {
  const draft = join(folder, `.${randomUUID()}`);
  await writeFile(draft, bytes, { flag: "wx" });
  try {
    await link(draft, join(folder, name));
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    throw error;
  } finally {
    await unlink(draft);
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
