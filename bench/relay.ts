import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout } from "node:timers";
import type { TcpEndpoint } from "../lib/endpoint.ts";

/** What has passed a relay. */
export interface Passed {
  connections: number;
  /** From the clients, and from the server. */
  bytesUp: number;
  bytesDown: number;
}

/**
 * A network with a delay, between loopback and loopback. All of the round trip is added on the way up, where it
 * delays the answer as much; a new connection costs one more, as TCP's own handshake would.
 */
export class Relay implements AsyncDisposable {
  readonly passed: Passed = { connections: 0, bytesUp: 0, bytesDown: 0 };
  readonly #target: TcpEndpoint;
  readonly #roundTripMs: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(target: TcpEndpoint, roundTripMs: number) {
    this.#target = target;
    this.#roundTripMs = roundTripMs;
    this.#server = createServer({ noDelay: true }, (client) => this.#accept(client));
  }

  /**
   * @param target Where to
   * @param roundTripMs How long it takes there and back
   */
  static async start(target: TcpEndpoint, roundTripMs: number): Promise<Relay> {
    const relay = new Relay(target, roundTripMs);
    relay.#server.listen({ host: "127.0.0.1", port: 0, backlog: 512 });
    await once(relay.#server, "listening");
    return relay;
  }

  /** Where it listens. */
  get endpoint(): TcpEndpoint {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("The relay does not listen");
    return { transport: "tcp", host: "127.0.0.1", port: address.port };
  }

  /** Breaks all connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(client: Socket): void {
    this.passed.connections++;
    const server = connect({ host: this.#target.host, port: this.#target.port, noDelay: true });
    const openAt = performance.now() + this.#roundTripMs;
    const up = (send: () => void) => later(send, Math.max(openAt - performance.now(), 0) + this.#roundTripMs);
    client.on("data", (chunk) => {
      this.passed.bytesUp += chunk.length;
      up(() => server.write(chunk));
    });
    client.on("end", () => up(() => server.end()));
    server.on("data", (chunk) => {
      this.passed.bytesDown += chunk.length;
      client.write(chunk);
    });
    server.on("end", () => client.end());
    this.#pair(client, server);
    this.#pair(server, client);
  }

  #pair(socket: Socket, other: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#sockets.delete(socket);
      later(() => other.destroy(), this.#roundTripMs * 2 + 1);
    });
  }
}

/** Timers of the same length fire in the order in which they were set, so bytes stay in order. */
function later(action: () => void, ms: number): void {
  if (ms === 0) action();
  else setTimeout(action, ms);
}
