import { randomUUID } from "node:crypto";
import { type FileHandle, open, rename, unlink } from "node:fs/promises";
import { checkRecord } from "../core/checks.ts";
import { allocateOffHeap, SecretBytes } from "../core/secret_bytes.ts";
import { ByteReader } from "./byte_reader.ts";
import { decryption, type DecryptStreamOptions } from "./decrypt_stream.ts";
import { encryption, type EncryptStreamOptions } from "./encrypt_stream.ts";
import { checkKeyClient, type DataKeyOpener, type DataKeySource } from "./key_client.ts";
import { checkDecryptOptions } from "./decrypt_options.ts";
import type { PieceMemory } from "./piece_memory.ts";
import type { Transformation } from "./pull_stream.ts";
import { checkEncryptOptions } from "./start_message.ts";

/** Bytes to read at once: whole frames, and what a cipher may do at once. */
const CHUNK_BYTES = 524_288;

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
  checkKeyClient(client, "generateDataKey");
  const checked = checkEncryptOptions(rest);
  await convert(paths, encryption(client, checked), checked.signal);
}

/**
 * Decrypts a file with {@link decryptStream}. The plaintext has its name only once all of the message has been
 * verified, its signature too: a message that was cut short leaves nothing. No plaintext is held in memory: neither
 * `releaseUnverified` nor `maxHeldBytes` makes a difference.
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
  checkKeyClient(client, "decrypt");
  const checked = checkDecryptOptions(rest);
  // The unfinished file holds the plaintext in place of memory until the signature is verified.
  const transform = decryption(client, { ...checked, releaseUnverified: true });
  await convert(paths, transform, checked.signal);
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

async function convert(
  { from, to }: FilePaths,
  transform: Transformation,
  signal: AbortSignal = new AbortController().signal,
): Promise<void> {
  checkPaths({ from, to });
  signal.throwIfAborted();
  await using source = await open(from);
  const unfinished = `${to}.${randomUUID()}.unfinished`;
  const target = await open(unfinished, "wx", 0o600);
  try {
    using chunk = new SecretBytes(allocateOffHeap(CHUNK_BYTES));
    using piece = new ReusedMemory();
    const input = new ByteReader({ read: () => readInto(source, chunk.bytes) }, signal);
    for await (const bytes of transform(input, signal, piece)) {
      await writeAll(target, bytes);
    }
    await target.sync();
    await target.close();
    await rename(unfinished, to);
  } catch (error) {
    await target.close().catch(() => {});
    await unlink(unfinished);
    throw error;
  }
}

function checkPaths(paths: FilePaths): void {
  for (const [field, path] of Object.entries(paths)) {
    if (typeof path !== "string" || path === "") throw new TypeError(`${field} must be the path of a file`);
  }
}

/** Reads the next chunk into the memory of the one before, which is not needed any more. */
async function readInto(
  file: FileHandle,
  memory: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array | undefined> {
  const { bytesRead } = await file.read(memory);
  return bytesRead === 0 ? undefined : memory.subarray(0, bytesRead);
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let offset = 0; offset < bytes.length;) {
    offset += (await file.write(bytes, offset)).bytesWritten;
  }
}

/** Memory for one piece after the other, each written before the next is made. It is wiped when it is disposed. */
class ReusedMemory implements PieceMemory, Disposable {
  readonly roomBytes = Infinity;
  #memory = new SecretBytes(allocateOffHeap(0));

  take(length: number): Uint8Array<ArrayBuffer> {
    if (this.#memory.length < length) {
      this.#memory[Symbol.dispose]();
      this.#memory = new SecretBytes(allocateOffHeap(length));
    }
    return this.#memory.bytes.subarray(0, length);
  }

  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]();
  }
}
