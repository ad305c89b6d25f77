import { Buffer } from "node:buffer";
import { ConnectionError } from "../lib/core/errors.ts";
import type { ConnectionStream } from "../lib/transport/connection.ts";
import { ClientHelloReader } from "./client_hello.ts";

/**
 * Reads the name in the ClientHello of a connection, and puts back all that was read. This happens in the turn of the
 * read: a stream whose peer has ended by then takes nothing back in a later one.
 *
 * @param stream Connection that nobody else reads
 * @returns Name of the server, in lower case. The promise is pending as long as the message does not end: set a deadline
 * @throws {ProtocolError} When it is no ClientHello with exactly one name
 * @throws {ConnectionError} When the connection ends before
 */
export function readClientName(stream: ConnectionStream): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const reader = new ClientHelloReader();
  const settle = (end: () => void) => {
    stream.off("readable", onReadable).off("end", onEnd).off("close", onEnd);
    end();
  };
  const onEnd = () => settle(() => reject(endedBefore()));
  const onReadable = () => {
    try {
      for (let chunk = read(stream); chunk !== null; chunk = read(stream)) {
        const name = takeChunk(stream, reader, chunk);
        if (name !== undefined) return settle(() => resolve(name));
      }
    } catch (error) {
      settle(() => reject(error as Error));
    }
  };
  stream.on("readable", onReadable).once("end", onEnd).once("close", onEnd);
  onReadable();
  return promise;
}

function read(stream: ConnectionStream): Uint8Array | null {
  return stream.read() as Uint8Array | null;
}

function takeChunk(
  stream: ConnectionStream,
  reader: ClientHelloReader,
  chunk: Uint8Array,
): string | undefined {
  const before = reader.bytes.length;
  const name = reader.push(chunk);
  // Not the chunks: one of a single byte takes hundreds.
  if (name !== undefined) {
    stream.unshift(Buffer.concat([reader.bytes, chunk.subarray(reader.bytes.length - before)]));
  }
  return name;
}

function endedBefore(): ConnectionError {
  return new ConnectionError("Cannot read the ClientHello: the caller ended before it", {
    hint: "Was it a health check, or did the caller give up?",
  });
}
