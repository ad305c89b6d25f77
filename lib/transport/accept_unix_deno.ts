import type { UnixEndpoint } from "../core/endpoint.ts";
import { ConnStream } from "../core/conn_stream.ts";
import { acceptAll } from "./accept_all_deno.ts";
import { listenError } from "./accept_socket.ts";
import type { Acceptor, OnAccept } from "./connection.ts";

/**
 * Listens on a unix socket with Deno's own means: its node:net closes the descriptors of unix sockets twice (Deno 2.9.5), and
 * so may close what another thread has opened in between.
 *
 * @param endpoint Address to listen on
 * @param _backlog Ignored: Deno always asks for 128
 * @param onAccept Called for every connection
 * @throws {ConnectionError} If the address is taken or not permitted
 */
export function acceptUnix(endpoint: UnixEndpoint, _backlog: number, onAccept: OnAccept): Promise<Acceptor> {
  try {
    const listener = Deno.listen({ transport: "unix", path: endpoint.path });
    const onConn = (conn: Deno.UnixConn) =>
      onAccept(new ConnStream(conn, { allowHalfOpen: true }), undefined);
    return Promise.resolve({
      endpoint,
      stop: acceptUntilStopped(listener, onConn, () => removeSocket(endpoint.path)),
    });
  } catch (error) {
    return Promise.reject(listenError(endpoint, error));
  }
}

/**
 * Accepts in the background.
 *
 * @param listener Listener of Deno
 * @param onConn Called for each connection
 * @param onStop Called once the listener is closed. Default: nothing more is done
 * @returns Closes the listener, and waits until it accepts no more
 */
export function acceptUntilStopped<Conn extends { close(): void }>(
  listener: { accept(): Promise<Conn>; close(): void },
  onConn: (conn: Conn) => void,
  onStop: () => void = () => {},
): Acceptor["stop"] {
  let stopped = false;
  const accepting = acceptAll(listener, onConn, () => stopped);
  return () => {
    stopped = true;
    listener.close();
    onStop();
    return accepting;
  };
}

function removeSocket(path: string): void {
  try {
    Deno.removeSync(path);
  } catch {
    // Somebody else has removed it.
  }
}
