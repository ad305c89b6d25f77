import { Buffer } from "node:buffer";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { acceptUnix } from "#accept-unix";
import type { NsmTransport } from "../../lib/nsm/nsm_transport.ts";
import { TurnLimiter } from "../../lib/core/turn_limiter.ts";

/** The longest request that is read, in bytes: more than a module takes, so that the module can refuse it. */
const MAX_MESSAGE_LENGTH = 0x10000;
const HEADER_LENGTH = 4;

/** Connections that may wait to be accepted. */
const BACKLOG = 128;

/**
 * Serves a module on a unix stream socket: length as an unsigned 32-bit big-endian number, then CBOR, both
 * ways; any number of requests on a connection, answered in order.
 *
 * @param nsm Answers the requests
 * @param path Path of the socket
 * @returns Stops serving when disposed
 */
export async function listenForNsm(nsm: NsmTransport, path: string): Promise<AsyncDisposable> {
  const streams = new Set<Duplex>();
  const { stop } = await acceptUnix({ transport: "unix", path }, BACKLOG, (stream) => {
    streams.add(stream);
    stream.on("close", () => streams.delete(stream));
    stream.on("error", () => {});
    serve(nsm, stream).then(() => stream.end(), () => stream.destroy());
  });
  return {
    [Symbol.asyncDispose]: async () => {
      await stop();
      for (const stream of streams) stream.destroy();
    },
  };
}

/** Starts one request in each turn of the event loop, however many a client has sent at once. */
const REQUESTS = new TurnLimiter();

async function serve(nsm: NsmTransport, socket: Duplex): Promise<void> {
  let pending = Buffer.alloc(0);
  for await (const chunk of socket) {
    pending = Buffer.concat([pending, chunk as Buffer]);
    for (let request = firstMessage(pending); request !== undefined; request = firstMessage(pending)) {
      pending = pending.subarray(HEADER_LENGTH + request.length);
      await REQUESTS.take();
      const answer = await nsm.exchange(new Uint8Array(request));
      const header = Buffer.alloc(HEADER_LENGTH);
      header.writeUInt32BE(answer.length);
      // A client that does not read its answers gets no more.
      if (!socket.write(Buffer.concat([header, answer]))) await once(socket, "drain");
    }
  }
}

function firstMessage(pending: Buffer): Buffer | undefined {
  if (pending.length < HEADER_LENGTH) return undefined;
  const length = pending.readUInt32BE();
  if (length > MAX_MESSAGE_LENGTH) throw new RangeError("The message is too long");
  if (pending.length < HEADER_LENGTH + length) return undefined;
  return pending.subarray(HEADER_LENGTH, HEADER_LENGTH + length);
}
