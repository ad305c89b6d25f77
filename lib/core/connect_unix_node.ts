import { once } from "node:events";
import { connect } from "node:net";
import type { ConnectionStream } from "./connection_stream.ts";

/**
 * Connects to a unix socket.
 *
 * @param path Path of the socket
 * @returns The connected stream; the caller destroys it
 * @throws {Error} With the system's `code`, such as ENOENT or ECONNREFUSED
 */
export async function connectUnix(path: string): Promise<ConnectionStream> {
  const socket = connect({ path });
  try {
    await once(socket, "connect");
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}
