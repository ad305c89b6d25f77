/**
 * Files of age, decrypted with the package age-encryption, which is loaded when the first one comes.
 *
 * @module
 */
import { LibraryLoadError } from "../../lib/core/errors.ts";
import { allocateOffHeap, SecretBytes } from "../../lib/core/secret_bytes.ts";
import { SecretError } from "../../lib/core/secret_error.ts";
import { encodeX25519Pkcs8, parseAgeIdentity } from "../../lib/wire/age_identity.ts";
import { checkAgeHeader } from "./age_header.ts";

/** Private key on X25519 that cannot be exported. */
export type AgeKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

const X25519 = { name: "X25519" };

/**
 * Imports an identity.
 *
 * @param file Bytes as `age-keygen` writes them; not kept
 * @param recipient Recipient that it must have; `null` for any
 * @returns The key, which cannot be exported
 * @throws {SecretError} With the fault `OPEN`, when it is no identity on X25519; `RECIPIENT`, when it has another recipient
 * @throws {LibraryLoadError} When age-encryption is not installed
 */
export async function importAgeIdentity(file: Uint8Array, recipient: string | null): Promise<AgeKey> {
  const { identityToRecipient } = await loadAge();
  const key = await importKey(file);
  if (recipient === null || await identityToRecipient(key) === recipient) return key;
  throw new SecretError("RECIPIENT", "Cannot use age identity: it is that of another recipient", {
    hint: "Is it another environment's, or was it put in by somebody else?",
  });
}

async function importKey(file: Uint8Array): Promise<AgeKey> {
  using scalar = ownOrNone(parseAgeIdentity(file));
  if (scalar === undefined) {
    throw new SecretError("OPEN", "Cannot read age identity: it is none on X25519", {
      hint: "Was a file of age-keygen encrypted? It has one line, AGE-SECRET-KEY-1…, beside comments",
    });
  }
  using pkcs8 = new SecretBytes(encodeX25519Pkcs8(scalar.bytes));
  return await crypto.subtle.importKey("pkcs8", pkcs8.bytes, X25519, false, ["deriveBits"]);
}

/**
 * Decrypts a file whole: nothing is handed over of one that was changed or cut off.
 *
 * The library's own buffers of the plaintext are wiped. Its file key of 16 bytes and what is derived from it are not:
 * they open this file only.
 *
 * @param file The file, not armored
 * @param identity Key from {@link importAgeIdentity}
 * @returns The plaintext, for the caller to dispose
 * @throws {SecretError} With the fault `OPEN`, when it does not decrypt
 * @throws {LibraryLoadError} When age-encryption is not installed
 */
export async function openAgeFile(file: Uint8Array, identity: AgeKey): Promise<SecretBytes> {
  checkAgeHeader(file);
  const { Decrypter } = await loadAge();
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity);
  const chunks: Uint8Array[] = [];
  try {
    const stream = await decrypter.decrypt(streamOf(file));
    for await (const chunk of stream as AsyncIterable<Uint8Array>) chunks.push(chunk);
    return joinChunks(chunks);
  } catch {
    // The library's errors may quote the file.
    throw new SecretError(
      "OPEN",
      "Cannot decrypt age file: it is not for this identity, or was changed or cut off",
      {
        hint: "Was it encrypted to the recipient that the enclave pins, and sent whole?",
      },
    );
  } finally {
    for (const chunk of chunks) chunk.fill(0);
  }
}

function joinChunks(chunks: readonly Uint8Array[]): SecretBytes {
  const whole = allocateOffHeap(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return new SecretBytes(whole);
}

function streamOf(file: Uint8Array): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(file as Uint8Array<ArrayBuffer>);
      controller.close();
    },
  });
}

function ownOrNone(bytes: Uint8Array<ArrayBuffer> | undefined): SecretBytes | undefined {
  return bytes === undefined ? undefined : new SecretBytes(bytes);
}

async function loadAge(): Promise<typeof import("age-encryption")> {
  try {
    return await import("age-encryption");
  } catch (cause) {
    throw new LibraryLoadError("Cannot open secrets of age: the package age-encryption is missing", {
      hint: "It is an optional peer: npm install age-encryption@0.3.1",
      cause,
    });
  }
}
