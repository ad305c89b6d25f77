import type { Endpoint, TcpEndpoint } from "../core/endpoint.ts";
import { listenError } from "./accept_socket.ts";
import { acceptUnix, acceptUntilStopped } from "./accept_unix_deno.ts";
import { ConnStream } from "../core/conn_stream.ts";
import type { Acceptor, ConnectionStream, OnAccept } from "./connection.ts";
import { acceptVsock } from "./listen_vsock_deno.ts";

/**
 * Listens for a bridge, with Deno's own means: its node:net accepts no more, and says nothing, once the process
 * has been out of descriptors (Deno 2.9.5).
 *
 * @param endpoint Address to listen on; TCP port 0 takes a free one
 * @param backlog Number of TCP connections that may wait to be accepted
 * @param onAccept Called for every connection
 * @throws {ConnectionError} If the address is taken or not permitted, or there is no vsock
 */
export function acceptForBridge(endpoint: Endpoint, backlog: number, onAccept: OnAccept): Promise<Acceptor> {
  if (endpoint.transport === "vsock") return acceptVsock(endpoint, backlog, onAccept);
  if (endpoint.transport === "unix") return acceptUnix(endpoint, backlog, onAccept);
  try {
    return Promise.resolve(acceptTcp(endpoint, backlog, onAccept));
  } catch (error) {
    return Promise.reject(listenError(endpoint, error));
  }
}

/**
 * Does nothing: streams of Deno's own connections pass bytes on at little cost as they are.
 *
 * @param stream Any stream
 * @returns The same
 */
export function toDirect(stream: ConnectionStream): ConnectionStream {
  return stream;
}

function acceptTcp({ host, port }: TcpEndpoint, tcpBacklog: number, onAccept: OnAccept): Acceptor {
  const listener = Deno.listen({ hostname: host, port, tcpBacklog });
  const onConn = (conn: Deno.TcpConn) => {
    conn.setNoDelay(true);
    conn.setKeepAlive(true);
    const { hostname: remoteAddress } = conn.remoteAddr;
    onAccept(new ConnStream(conn, { allowHalfOpen: true, remoteAddress }), undefined);
  };
  const stop = acceptUntilStopped(listener, onConn);
  return { endpoint: { transport: "tcp", host, port: listener.addr.port }, stop };
}
