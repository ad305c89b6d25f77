import { connect, createServer, type Server, type Socket } from "node:net";
import type { Endpoint } from "../../mod.ts";
import { choosePort } from "../../sim/free_port.ts";

/** A proxy to KMS that can go away and come back at the same address. */
export class Proxy implements AsyncDisposable {
  /** Connections so far. */
  accepted = 0;
  /** Closes what it accepts, as a proxy does that cannot reach KMS. */
  isCutOff = false;
  readonly #target: Endpoint;
  readonly #sockets = new Set<Socket>();
  readonly #held = new Set<Socket>();
  #server: Server | undefined;
  #comeback: ReturnType<typeof setTimeout> | undefined;
  #port = 0;

  constructor(target: Endpoint) {
    this.#target = target;
  }

  /** Connections that callers hold open. */
  get open(): number {
    return this.#held.size;
  }

  get endpoint(): Endpoint {
    return { transport: "tcp", host: "127.0.0.1", port: this.#port };
  }

  async start(): Promise<void> {
    this.#port ||= await choosePort();
    const server = createServer((socket) => this.#relay(socket));
    await new Promise<void>((resolve) => server.listen(this.#port, "127.0.0.1", resolve));
    this.#server = server;
  }

  async stop(): Promise<void> {
    clearTimeout(this.#comeback);
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }

  /** Goes away now, and comes back after so many milliseconds. */
  async restart(absenceMs: number): Promise<void> {
    await this.stop();
    this.#comeback = setTimeout(() => void this.start(), absenceMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #relay(socket: Socket): void {
    this.accepted++;
    if (this.isCutOff || this.#target.transport !== "tcp") return void socket.destroy();
    this.#held.add(socket);
    socket.once("close", () => this.#held.delete(socket));
    const onward = connect({ host: this.#target.host, port: this.#target.port });
    for (const [one, other] of [[socket, onward], [onward, socket]] as const) {
      this.#sockets.add(one);
      one.on("error", () => {});
      one.once("close", () => {
        this.#sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  }
}
