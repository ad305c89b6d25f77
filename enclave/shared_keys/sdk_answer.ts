/**
 * Answers and errors of AWS SDK v3 clients, which are not imported.
 *
 * @module
 */
import { concatBytes } from "../../lib/core/bytes.ts";

/**
 * Reads the body of an answer, and no more of it than one byte too many.
 *
 * @param body Stream of the answer
 * @param maxBytes Most bytes that are taken
 * @returns The body, or its first bytes, which are more than `maxBytes`
 * @throws {TypeError} When it is no stream
 */
export async function readBody(body: unknown, maxBytes: number): Promise<Uint8Array> {
  if (!isStream(body)) throw new TypeError("The answer of the AWS SDK has no body that is a stream of bytes");
  const chunks: Uint8Array[] = [];
  let length = 0;
  // Leaving the loop ends the stream.
  for await (const chunk of body) {
    if (!(chunk instanceof Uint8Array)) throw new TypeError("The answer's body is no stream of bytes");
    chunks.push(chunk);
    length += chunk.length;
    if (length > maxBytes) break;
  }
  return concatBytes(chunks).subarray(0, maxBytes + 1);
}

/**
 * Finds the HTTP status that an error of the SDK was made of.
 *
 * @param error Thrown by a client
 */
export function statusOf(error: unknown): unknown {
  const { $metadata } = (error ?? {}) as { readonly $metadata?: { readonly httpStatusCode?: unknown } };
  return $metadata?.httpStatusCode;
}

/**
 * Finds the name of the service's exception.
 *
 * @param error Thrown by a client
 */
export function failureOf(error: unknown): unknown {
  return (error as { readonly name?: unknown } | undefined)?.name;
}

function isStream(body: unknown): body is AsyncIterable<unknown> {
  return typeof body === "object" && body !== null && Symbol.asyncIterator in body;
}
