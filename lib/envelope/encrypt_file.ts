import { randomUUID } from "node:crypto";
import { type FileHandle, open, rename, unlink } from "node:fs/promises";
import { checkRecord } from "../core/checks.ts";
import { allocateOffHeap } from "../core/secret_bytes.ts";
import { decryptStream, type DecryptStreamOptions } from "./decrypt_stream.ts";
import { DEFAULT_FRAME_BYTES, encryptStream, type EncryptStreamOptions } from "./encrypt_stream.ts";
import type { DataKeyOpener, DataKeySource } from "./key_client.ts";
import type { EnvelopeStream } from "./pull_stream.ts";

/** Paths that {@link encryptFile} and {@link decryptFile} take beside their options. */
export interface FilePaths {
  /** File to read. */
  readonly from: string;
  /** File to make or replace, with mode 0600. It appears only when it is complete. */
  readonly to: string;
}

/**
 * Encrypts a file with {@link encryptStream}. The result is written under another name beside it, and renamed
 * once it is complete and on the disk; after a failure neither exists.
 *
 * Not guaranteed: a process that is killed in between leaves the unfinished file behind.
 *
 * @param client A {@link KmsClient}, or anything else that makes data keys
 * @param options The two files, and the options of {@link encryptStream}
 * @throws {TypeError} When a path is missing
 * @throws {Error} When {@link encryptStream} throws or its output fails, or the file system does
 * @example
 * ```ts
 * import { mkdtemp, readFile, writeFile } from "node:fs/promises";
 * import { KmsClient } from "enclave-kms";
 * import { decryptFile, encryptFile } from "enclave-kms/envelope";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * await using enclave = await startSimulator(); // in an enclave: { region, credentials }
 * const { arn: keyId } = await enclave.createKey();
 * await using client = await KmsClient.open(enclave.clientOptions);
 *
 * const folder = await mkdtemp("/tmp/example-");
 * await writeFile(`${folder}/plan`, "attack at dawn");
 * await encryptFile(client, { from: `${folder}/plan`, to: `${folder}/plan.enc`, keyId });
 * await decryptFile(client, { from: `${folder}/plan.enc`, to: `${folder}/copy`, keyId });
 * const copy = await readFile(`${folder}/copy`, "utf8");
 * copy; // "attack at dawn"
 * ```
 */
export async function encryptFile(
  client: DataKeySource,
  options: FilePaths & EncryptStreamOptions,
): Promise<void> {
  const { paths, rest } = splitPaths(options);
  await convert(paths, encryptStream(client, rest));
}

/**
 * Decrypts a file with {@link decryptStream}. The plaintext has its name only once all of the message has been
 * verified: a message that was cut short leaves nothing.
 *
 * Not guaranteed: a process that is killed in between leaves the unfinished file behind, and bytes on the
 * disk may outlive the deletion of their file.
 *
 * @param client A {@link KmsClient}, or anything else that opens data keys
 * @param options The two files, and the options of {@link decryptStream}
 * @throws {TypeError} When a path is missing
 * @throws {Error} When {@link decryptStream} throws or its output fails, or the file system does
 */
export async function decryptFile(
  client: DataKeyOpener,
  options: FilePaths & DecryptStreamOptions,
): Promise<void> {
  const { paths, rest } = splitPaths(options);
  await convert(paths, decryptStream(client, rest));
}

/**
 * Splits off the paths; the stream checks the rest. A rest of anything but a plain object would lack its prototype's.
 */
function splitPaths<Options>(
  options: FilePaths & Options,
): { paths: FilePaths; rest: Omit<Options, keyof FilePaths> } {
  const { from, to, ...rest } = Object.fromEntries(checkRecord("The options", options)) as
    & FilePaths
    & Options;
  return { paths: { from, to }, rest };
}

async function convert({ from, to }: FilePaths, stream: EnvelopeStream): Promise<void> {
  for (const [field, path] of Object.entries({ from, to })) {
    if (typeof path !== "string" || path === "") throw new TypeError(`${field} must be the path of a file`);
  }
  await using source = await open(from);
  const unfinished = `${to}.${randomUUID()}.unfinished`;
  const target = await open(unfinished, "wx", 0o600);
  try {
    const output = ReadableStream.from(readAll(source)).pipeThrough(stream);
    for await (const piece of output) await writeAll(target, piece);
    await target.sync();
    await target.close();
    await rename(unfinished, to);
  } catch (error) {
    await target.close().catch(() => {});
    await unlink(unfinished);
    throw error;
  }
}

async function* readAll(file: FileHandle): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for (;;) {
    const chunk = allocateOffHeap(DEFAULT_FRAME_BYTES);
    const { bytesRead } = await file.read(chunk);
    if (bytesRead === 0) return;
    yield chunk.subarray(0, bytesRead);
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let offset = 0; offset < bytes.length;) {
    offset += (await file.write(bytes, offset)).bytesWritten;
  }
}
