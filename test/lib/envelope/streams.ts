import assert from "node:assert/strict";
import { decryptStream, type DecryptStreamOptions, encryptStream } from "../../../lib/envelope/mod.ts";
import type { EncryptStreamOptions, EnvelopeStream } from "../../../lib/envelope/mod.ts";
import { FakeKms, KEY_ARN } from "./fake_kms.ts";

/** Makes a stream with one chunk for each argument. */
export function streamOf(...chunks: Uint8Array[]): ReadableStream<Uint8Array> {
  return ReadableStream.from(chunks);
}

/** Collects all bytes of a stream. */
export async function collect(stream: ReadableStream<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer());
}

/** Collects the bytes before the failure, and the failure. */
export async function collectUntilFailure(
  stream: ReadableStream<Uint8Array>,
): Promise<{ plaintext: Uint8Array; error: Error & { code?: string } }> {
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of stream) chunks.push(chunk);
  } catch (error) {
    assert.ok(error instanceof Error);
    return { plaintext: await collect(streamOf(...chunks)), error };
  }
  throw new assert.AssertionError({ message: "The stream ended without a failure" });
}

export async function encrypt(
  plaintext: Uint8Array,
  options: Partial<EncryptStreamOptions> = {},
): Promise<Uint8Array<ArrayBuffer>> {
  return await collect(
    streamOf(plaintext).pipeThrough(encryptStream(new FakeKms(), { keyId: KEY_ARN, ...options })),
  );
}

export function decryption(options: Partial<DecryptStreamOptions> = {}): EnvelopeStream {
  return decryptStream(new FakeKms(), { keyId: KEY_ARN, ...options });
}

export async function decrypt(
  message: Uint8Array,
  options: Partial<DecryptStreamOptions> = {},
): Promise<Uint8Array<ArrayBuffer>> {
  return await collect(streamOf(message).pipeThrough(decryption(options)));
}

/** Bytes that differ from place to place. */
export function pattern(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, index) => (index * 31 + (index >> 8) * 7) % 256);
}

/** Decrypts `message` and describes the failure. */
export async function faultOf(message: Uint8Array, options?: Partial<DecryptStreamOptions>): Promise<string> {
  const { error } = await collectUntilFailure(streamOf(message).pipeThrough(decryption(options)));
  return error.code ?? error.name;
}
