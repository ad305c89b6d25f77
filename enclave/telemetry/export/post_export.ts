import { addAbortSignal } from "node:stream";
import type { Endpoint } from "../../../lib/core/endpoint.ts";
import { connect } from "../../../lib/transport/connect.ts";

/** Bytes of an answer that are read: `HTTP/1.1 200`. */
const STATUS_LENGTH = 12;

/**
 * Posts JSON to a collector over a connection of its own. Of the answer nothing is read but its first twelve bytes,
 * whatever it is and however long.
 *
 * @param endpoint Address of the collector, or of the relay to it
 * @param path Path of the request
 * @param json Body, in ASCII
 * @param signal Ends the attempt
 * @returns Status of the answer, 200 to 599; 0 when the answer is no HTTP/1, or ends before
 * @throws {ConnectionError} When nothing answers there, or the connection breaks
 * @throws {TimeoutError} When connecting takes too long
 */
export async function postExport(
  endpoint: Endpoint,
  path: string,
  json: string,
  signal: AbortSignal,
): Promise<number> {
  const stream = await connect(endpoint, { signal });
  addAbortSignal(signal, stream.on("error", () => {}));
  try {
    stream.write(
      `POST ${path} HTTP/1.1\r\nhost: collector\r\ncontent-type: application/json\r\n` +
        `content-length: ${json.length}\r\n\r\n${json}`,
      "latin1",
    );
    let text = "";
    for await (const chunk of stream) {
      text += String.fromCharCode(...(chunk as Uint8Array).subarray(0, STATUS_LENGTH));
      if (text.length >= STATUS_LENGTH) break;
    }
    return Number(/^HTTP\/1\.[01] ([2-5]\d\d)/.exec(text)?.[1] ?? 0);
  } finally {
    stream.destroy();
  }
}
