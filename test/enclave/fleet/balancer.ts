import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** Load balancer of TCP: one target after the other, a connection at a time. */
export class Balancer implements AsyncDisposable {
  /** Connections that were open to a target when it was taken out. */
  cut = 0;
  readonly #server: Server;
  readonly #targets: string[];
  readonly #open = new Map<Socket, string>();
  #turn = 0;

  private constructor(targets: readonly string[]) {
    this.#targets = [...targets];
    this.#server = createServer((caller) => this.#carry(caller));
  }

  /**
   * Listens on a port of the loopback.
   *
   * @param targets URLs of the targets
   */
  static async start(targets: readonly string[]): Promise<Balancer> {
    const balancer = new Balancer(targets);
    balancer.#server.listen(0, "127.0.0.1");
    await once(balancer.#server, "listening");
    return balancer;
  }

  /** Port that it listens on. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /**
   * Ends a target, and brings it no more connections.
   *
   * @param target Its URL
   * @param end Ends it
   */
  async takeOut(target: string, end: () => Promise<unknown>): Promise<void> {
    this.#targets.splice(this.#targets.indexOf(target), 1);
    const before = [...this.#open].filter(([, of]) => of === target);
    this.cut += before.length;
    await end();
    for (const [caller] of before) caller.destroy();
  }

  /** Ends all connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const caller of this.#open.keys()) caller.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  #carry(caller: Socket): void {
    const target = this.#targets[this.#turn++ % this.#targets.length]!;
    const { hostname, port } = new URL(target);
    const enclave = connect(Number(port), hostname);
    this.#open.set(caller, target);
    caller.once("close", () => {
      this.#open.delete(caller);
      enclave.destroy();
    });
    enclave.once("close", () => caller.destroySoon());
    for (const socket of [caller, enclave]) socket.on("error", () => socket.destroy());
    caller.pipe(enclave).pipe(caller);
  }
}
