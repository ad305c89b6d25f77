import type { ConnectionStream } from "./connection_stream.ts";
import { ConnStream } from "./conn_stream.ts";

/**
 * Connects to a unix socket with Deno's own means. Its node:net closes the descriptor of a unix socket twice
 * (Deno 2.9.5): what another thread has opened in between, such as a C library, would be closed under it.
 *
 * @param path Path of the socket
 * @returns The connected stream; the caller destroys it
 * @throws {Error} With the system's `code`, such as ENOENT or ECONNREFUSED
 */
export async function connectUnix(path: string): Promise<ConnectionStream> {
  return new ConnStream(await Deno.connect({ transport: "unix", path }));
}
