import type { VsockEndpoint } from "../core/endpoint.ts";
import { ConnectionError } from "../core/errors.ts";
import { setVsockBacklog } from "../native/listening_socket.ts";
import { acceptAll } from "./accept_all_deno.ts";
import { ConnStream } from "../core/conn_stream.ts";
import type { Acceptor, OnAccept } from "./connection.ts";

/** Likeliest causes of a failed listen, by Deno's error name. */
const HINTS: Readonly<Record<string, string>> = {
  AddrInUse: "Another process listens on that port: is the server running twice?",
  AddrNotAvailable: "This machine does not have that CID: listen on 4294967295, which stands for any",
  NotCapable: "Deno needs the permission --allow-net=vsock:-1:<port> and the flag --unstable-vsock",
  PermissionDenied: "A port below 1024 needs the capability CAP_NET_BIND_SERVICE: choose 1024 or above",
};

/** Backlog that Deno always asks for. */
const DENO_BACKLOG = 128;

/**
 * Listens on AF_VSOCK with Deno's own means. They want the flag `--unstable-vsock` and the permission
 * `--allow-net=vsock:-1:<port>`; without the flag Deno says so and ends the process, which cannot be caught.
 *
 * @param endpoint Address to listen on
 * @param backlog Number of connections that may wait to be accepted; any but 128 needs `--allow-ffi`
 * @param onAccept Called for every connection
 * @throws {ConnectionError} If the address is taken, there is no vsock, or no permission
 * @throws {LibraryLoadError} If the backlog is not 128, and libc cannot be called
 */
export function acceptVsock(
  { cid, port }: VsockEndpoint,
  backlog: number,
  onAccept: OnAccept,
): Promise<Acceptor> {
  const listener = openListener(cid, port);
  const endpoint: VsockEndpoint = { transport: "vsock", cid, port: listener.addr.port };
  try {
    if (backlog !== DENO_BACKLOG) setVsockBacklog(endpoint.port, backlog);
  } catch (error) {
    listener.close();
    return Promise.reject(error);
  }
  let stopped = false;
  const accepting = acceptAll(listener, (conn) => {
    const { cid, port } = conn.remoteAddr;
    onAccept(new ConnStream(conn, { allowHalfOpen: true }), { cid, port });
  }, () => stopped);
  const stop = () => {
    stopped = true;
    listener.close();
    // Until then the address stays in use.
    return accepting;
  };
  return Promise.resolve({ endpoint, stop });
}

function openListener(cid: number, port: number): Deno.VsockListener {
  try {
    return Deno.listen({ transport: "vsock", cid, port });
  } catch (error) {
    const kind = error instanceof Error ? error.name : "unknown error";
    throw new ConnectionError(`Cannot listen on vsock ${cid}:${port}: ${kind}`, {
      hint: HINTS[kind] ?? "Does this machine's kernel have vsock?",
      cause: error,
    });
  }
}
