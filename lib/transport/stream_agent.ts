import type { ClientRequest } from "node:http";
import { Agent } from "node:https";
import type { Duplex } from "node:stream";

// What of a socket decides whether the process may exit. Under TLS, Deno does not pass it on to a stream.
interface Referable {
  ref?(): unknown;
  unref?(): unknown;
}

/**
 * Agent of node:https whose connections are TLS over streams of any kind. Idle connections do not keep the process
 * alive, and are not used twice for one request without being told.
 */
export class StreamAgent extends Agent {
  readonly #transports = new WeakMap<Duplex, Duplex & Referable>();
  readonly #reusing = new WeakSet<ClientRequest>();

  /** Called by node:https with a connection that is idle from now on. */
  override keepSocketAlive(socket: Duplex): void {
    this.#transports.get(socket)?.unref?.();
    // Not void at run time: false would close the connection.
    return super.keepSocketAlive(socket);
  }

  /** Called by node:https with a connection that was idle until now. */
  override reuseSocket(socket: Duplex, request: ClientRequest): void {
    this.#transports.get(socket)?.ref?.();
    super.reuseSocket(socket, request);
    this.#reusing.add(request);
    // By this, Deno would send the request once more when the socket closes, even when that was our own doing
    // because the time was up (https://github.com/denoland/deno/issues/36786).
    request.reusedSocket = false;
  }

  /**
   * @param request A request through this agent
   * @returns Whether it went over a connection that was kept from an earlier one
   */
  isReusing(request: ClientRequest): boolean {
    return this.#reusing.has(request);
  }

  /** Closes the connections that nobody uses. */
  destroyIdle(): void {
    for (const socket of Object.values(this.freeSockets).flat()) socket?.destroy();
  }

  /**
   * Notes the stream below a connection.
   *
   * @param socket The connection, TLS
   * @param transport The stream below it, which is destroyed when the connection closes
   */
  protected adopt(socket: Duplex, transport: Duplex): void {
    socket.once("close", () => transport.destroy());
    this.#transports.set(socket, transport);
  }
}
