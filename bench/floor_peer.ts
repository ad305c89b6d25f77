import { once } from "node:events";
import { createServer, type Server, type TLSSocket } from "node:tls";
import type { TcpEndpoint } from "../lib/endpoint.ts";
import type { ServerCertificate } from "../sim/tls_certificates.ts";

/** The other end of a bare TLS connection: so many bytes in, so many bytes out. */
export class FloorPeer implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<TLSSocket>();
  readonly #requestBytes: number;
  readonly #answer: Uint8Array;

  private constructor(certificate: ServerCertificate, sizes: { requestBytes: number; answerBytes: number }) {
    this.#requestBytes = sizes.requestBytes;
    this.#answer = new Uint8Array(sizes.answerBytes).fill(0x61);
    this.#server = createServer({ ...certificate }, (socket) => this.#serve(socket));
  }

  /**
   * @param certificate For KMS's name
   * @param sizes Of a request and of an answer
   */
  static async start(
    certificate: ServerCertificate,
    sizes: { requestBytes: number; answerBytes: number },
  ): Promise<FloorPeer> {
    const peer = new FloorPeer(certificate, sizes);
    peer.#server.listen({ host: "127.0.0.1", port: 0, backlog: 512 });
    await once(peer.#server, "listening");
    return peer;
  }

  /** Where it listens. */
  get endpoint(): TcpEndpoint {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("The peer does not listen");
    return { transport: "tcp", host: "127.0.0.1", port: address.port };
  }

  /** Breaks all connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #serve(socket: TLSSocket): void {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
    let missing = this.#requestBytes;
    socket.on("data", (chunk: Uint8Array) => {
      missing -= chunk.length;
      if (missing > 0) return;
      missing += this.#requestBytes;
      socket.write(this.#answer);
    });
  }
}
