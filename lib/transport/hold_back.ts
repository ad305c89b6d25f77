import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";

/**
 * Makes TLS read no more from the connection below it than its reader takes. Node does so itself. Deno 2.9.5 decrypts
 * all that comes over a stream of another kind than its sockets, and keeps it: a client that sends more than is read
 * would fill the memory.
 *
 * @param socket TLS over the connection
 * @param raw The connection
 */
export function holdBack(socket: TLSSocket, raw: Duplex): void {
  if (!("Deno" in globalThis) || raw instanceof Socket) return;
  raw.on("data", () => {
    if (socket.readableLength >= socket.readableHighWaterMark) raw.pause();
  });
  const read = socket._read;
  socket._read = (size) => {
    raw.resume();
    read.call(socket, size);
  };
}
