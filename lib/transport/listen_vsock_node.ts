import net from "node:net";
import type { VsockEndpoint } from "../core/endpoint.ts";
import { ListeningSocket, vsockPeer } from "../native/listening_socket.ts";
import { acceptFrom } from "./accept_socket.ts";
import type { Acceptor, OnAccept } from "./connection.ts";

/**
 * Listens on AF_VSOCK, which Node does not know: through libc, and then handed to a server of Node's.
 *
 * @param endpoint Address to listen on
 * @param backlog Number of connections that may wait to be accepted
 * @param onAccept Called for every connection; one whose peer the kernel does not name any more is dropped
 * @throws {ConnectionError} If the address is taken, or there is no vsock
 */
export function acceptVsock(endpoint: VsockEndpoint, backlog: number, onAccept: OnAccept): Promise<Acceptor> {
  using listening = ListeningSocket.listenVsock(endpoint, backlog);
  const bound = { ...endpoint, port: listening.address?.port ?? endpoint.port };
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    const peer = vsockPeer(socket);
    if (peer === undefined) socket.destroy();
    else onAccept(socket, peer);
  });
  listening.handOver(server);
  return Promise.resolve(acceptFrom(server, bound));
}
