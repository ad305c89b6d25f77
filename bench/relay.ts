import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout } from "node:timers";
import type { TcpEndpoint } from "../lib/core/endpoint.ts";

/** Bytes that have passed a relay. */
export interface Passed {
  connections: number;
  /** From the clients, and from the server. */
  bytesUp: number;
  bytesDown: number;
}

/** One side may end while the other still sends. */
const SOCKETS = { noDelay: true, allowHalfOpen: true } as const;

/**
 * A network with a delay, between loopback and loopback. All of the round trip is added on the way up, where
 * it delays the answer as much; a new connection costs one more, as TCP's own handshake would.
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
    this.#server = createServer(SOCKETS, (client) => this.#accept(client));
  }

  /**
   * Starts a relay.
   *
   * @param target Address to connect to
   * @param roundTripMs Time there and back, in milliseconds
   */
  static async start(target: TcpEndpoint, roundTripMs: number): Promise<Relay> {
    const relay = new Relay(target, roundTripMs);
    relay.#server.listen({ host: "127.0.0.1", port: 0, backlog: 512 });
    await once(relay.#server, "listening");
    return relay;
  }

  /** Address at which it listens. */
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
    const server = connect({ host: this.#target.host, port: this.#target.port, ...SOCKETS });
    const line = new DelayLine(this.#roundTripMs);
    client.on("data", (chunk) => {
      this.passed.bytesUp += chunk.length;
      line.pass(() => server.write(chunk));
    });
    client.on("end", () => line.pass(() => server.end()));
    server.on("data", (chunk) => {
      this.passed.bytesDown += chunk.length;
      client.write(chunk);
    });
    server.on("end", () => client.end());
    server.on("close", () => client.destroy());
    client.on("close", () => line.pass(() => server.destroy()));
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => this.#sockets.delete(socket));
    }
  }
}

/** Does everything a round trip later, in order. Nothing passes before the connection has taken its own. */
class DelayLine {
  readonly #roundTripMs: number;
  readonly #openAt: number;
  readonly #waiting: { readonly action: () => void; readonly dueAt: number }[] = [];

  constructor(roundTripMs: number) {
    this.#roundTripMs = roundTripMs;
    this.#openAt = performance.now() + roundTripMs;
  }

  pass(action: () => void): void {
    const dueAt = Math.max(performance.now(), this.#openAt) + this.#roundTripMs;
    this.#waiting.push({ action, dueAt });
    if (this.#waiting.length === 1) this.#drain();
  }

  #drain(): void {
    for (let [next] = this.#waiting; next !== undefined; [next] = this.#waiting) {
      const waitMs = this.#roundTripMs === 0 ? 0 : next.dueAt - performance.now();
      if (waitMs > 0) return void setTimeout(() => this.#drain(), Math.ceil(waitMs));
      this.#waiting.shift();
      next.action();
    }
  }
}
