import type { Deadline } from "../lib/core/deadline.ts";
import { concatBytes } from "../lib/core/bytes.ts";
import { ConnectionError, ProtocolError } from "../lib/core/errors.ts";
import type { ConnectionStream } from "../lib/transport/connection.ts";
import { MAX_SECRET_RECEIPT_BYTES } from "../lib/wire/secret_receipt.ts";

const LINE_FEED = 0x0a;

/**
 * Sends bytes over a connection of their own, and reads one line. The answer counts even when it comes before all is
 * sent: an enclave that refuses need not read the rest.
 *
 * @param stream The connection; it is destroyed
 * @param bytes Bytes to send; they may be wiped afterwards
 * @param ends Whether the end of the stream marks the end of the bytes
 * @param deadline End of the exchange
 * @returns Answer up to the line feed, or the end of the stream, with bytes that came behind it at once
 * @throws {ProtocolError} When the answer is longer than any receipt
 * @throws {ConnectionError} When the connection breaks before a line
 * @throws {TimeoutError} When the deadline passes
 */
export async function exchangeSecret(
  stream: ConnectionStream,
  bytes: Uint8Array,
  ends: boolean,
  deadline: Deadline,
): Promise<Uint8Array> {
  try {
    const line = readLine(stream);
    stream.write(bytes);
    if (ends) stream.end();
    return await deadline.race(line);
  } finally {
    stream.destroy();
  }
}

function readLine(stream: ConnectionStream): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  const chunks: Uint8Array[] = [];
  let length = 0;
  stream.on("data", (chunk: Uint8Array) => {
    chunks.push(chunk);
    length += chunk.length;
    if (length > MAX_SECRET_RECEIPT_BYTES) reject(tooLong());
    else if (chunk.includes(LINE_FEED)) resolve(concatBytes(chunks));
  });
  stream.once("end", () => resolve(concatBytes(chunks)));
  // A reset may overtake the answer to a sender who was still sending.
  stream.once("error", (error: unknown) => reject(broken(error)));
  stream.once("close", () => reject(broken(undefined)));
  return promise;
}

function tooLong(): ProtocolError {
  return new ProtocolError("Cannot read receipt: it is longer than any that an enclave sends", {
    hint: "Is something else listening on this port?",
  });
}

function broken(cause: unknown): ConnectionError {
  return new ConnectionError("Cannot send secret: the connection broke before the enclave's receipt", {
    hint: "It may have been taken: ask the enclave whether it is ready before sending again",
    cause,
  });
}
