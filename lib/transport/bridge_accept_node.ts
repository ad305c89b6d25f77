import type { Endpoint } from "../core/endpoint.ts";
import { acceptSocket } from "./accept_socket.ts";
import { acceptVsock } from "./listen_vsock_node.ts";
import type { Acceptor, OnAccept } from "./connection.ts";
import { toDirect } from "./direct_socket_node.ts";

export { toDirect };

/**
 * Listens for a bridge.
 *
 * @param endpoint Address to listen on; TCP port 0 takes a free one
 * @param backlog Number of connections that may wait to be accepted
 * @param onAccept Called for every connection
 * @throws {ConnectionError} If the address is taken or not permitted, or there is no vsock
 */
export function acceptForBridge(endpoint: Endpoint, backlog: number, onAccept: OnAccept): Promise<Acceptor> {
  const accept: OnAccept = (stream, peer) => onAccept(toDirect(stream), peer);
  return endpoint.transport === "vsock"
    ? acceptVsock(endpoint, backlog, accept)
    : acceptSocket(endpoint, backlog, accept);
}
