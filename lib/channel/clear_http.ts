/**
 * HTTP in the clear, as far as sealed HTTP goes over it: nothing secret is sent, and nothing that comes is believed.
 *
 * @module
 */
import { concatBytes } from "../core/bytes.ts";
import type { Deadline } from "../core/deadline.ts";
import { ChannelError, ConnectionError, EnclaveKmsError } from "../core/errors.ts";

/** No cookies, no cache, and nowhere else. */
const INIT: RequestInit = {
  credentials: "omit",
  cache: "no-store",
  redirect: "error",
  referrerPolicy: "no-referrer",
};

/**
 * Makes a request.
 *
 * @param fetch Way to the enclave
 * @param url URL of a route
 * @param init Method, headers and body
 * @param deadline Time budget
 * @throws {ConnectionError} When the connection fails
 * @throws The deadline's reason
 */
export async function askInClear(
  fetch: typeof globalThis.fetch,
  url: string,
  init: RequestInit,
  deadline: Deadline,
): Promise<Response> {
  deadline.throwIfPassed();
  const answer = fetch(url, { ...INIT, ...init, signal: deadline.signal });
  return await withReasons(deadline.race(answer), deadline);
}

/**
 * Reads the body of an answer, as far as it is allowed to be long. What is not read is cancelled.
 *
 * @param answer The answer
 * @param maxBytes Longest body, in bytes
 * @param deadline Time budget
 * @throws {ChannelError} When it is longer
 * @throws {ConnectionError} When the connection fails
 * @throws The deadline's reason
 */
export async function readBounded(
  answer: Response,
  maxBytes: number,
  deadline: Deadline,
): Promise<Uint8Array<ArrayBuffer>> {
  const reader = answer.body?.getReader();
  if (reader === undefined) return new Uint8Array(0);
  const chunks: Uint8Array[] = [];
  try {
    let length = 0;
    for (let next = await readNext(reader, deadline); next; next = await readNext(reader, deadline)) {
      length += next.length;
      if (length > maxBytes) throw tooLong(answer.status, maxBytes);
      chunks.push(next);
    }
    return concatBytes(chunks);
  } finally {
    reader.cancel().catch(() => {});
  }
}

/**
 * Reads the next bytes of a body.
 *
 * @param reader Reader of the body
 * @param deadline Time budget
 * @returns The bytes; undefined at the body's end
 * @throws {ConnectionError} When the connection fails
 * @throws The deadline's reason
 */
export async function readNext(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  deadline: Deadline,
): Promise<Uint8Array | undefined> {
  const { value } = await withReasons(deadline.race(reader.read()), deadline);
  return value;
}

/** The runtimes reject with errors of their own, also when a signal aborts. */
async function withReasons<T>(work: Promise<T>, { signal }: Deadline): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (error instanceof EnclaveKmsError) throw error;
    throw new ConnectionError("Cannot ask the enclave: the connection failed", {
      hint: "Is there an enclave at the URL, and does it permit a page of another origin?",
      cause: error,
    });
  }
}

function tooLong(status: number, maxBytes: number): ChannelError {
  return new ChannelError(`Cannot read answer: it has more than ${maxBytes} bytes`, {
    hint: "An enclave seals answers of at most 4 MiB: does the URL lead to one?",
    status,
  });
}
