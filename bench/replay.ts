import { Buffer } from "node:buffer";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { type ConnectionOptions, createServer, type Server, type TLSSocket } from "node:tls";
import type { TcpEndpoint } from "../lib/core/endpoint.ts";
import type { ServerCertificate } from "../sim/tls/tls_certificates.ts";
import { Exchange } from "./exchange.ts";

const END_OF_HEAD = "\r\n\r\n";

/**
 * KMS that costs next to nothing, so that the core which is to be measured stays free: a request whose body it has
 * not seen goes to a KMS that verifies, and every later one with the same body, which is the same ciphertext for
 * the same attestation document, gets the same bytes again. It checks no signature and no time.
 */
export class ReplayingKms implements AsyncDisposable {
  readonly #verifying: ConnectionOptions;
  readonly #server: Server;
  readonly #sockets = new Set<TLSSocket>();
  readonly #answers = new Map<string, Promise<Buffer>>();

  private constructor(certificate: ServerCertificate, verifying: ConnectionOptions) {
    this.#verifying = verifying;
    this.#server = createServer({ ...certificate }, (socket) => this.#accept(socket));
  }

  /**
   * Starts it on a free port of loopback.
   *
   * @param certificate Certificate that it shows
   * @param verifying Address, authority and name of the KMS that is asked first
   */
  static async start(certificate: ServerCertificate, verifying: ConnectionOptions): Promise<ReplayingKms> {
    const kms = new ReplayingKms(certificate, verifying);
    kms.#server.listen({ host: "127.0.0.1", port: 0 });
    await once(kms.#server, "listening");
    return kms;
  }

  /** Address at which it listens. */
  get endpoint(): TcpEndpoint {
    const { port } = this.#server.address() as AddressInfo;
    return { transport: "tcp", host: "127.0.0.1", port };
  }

  /** Stops listening and breaks all connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #accept(socket: TLSSocket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    let pending: Buffer = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
      const bodyAt = pending.indexOf(END_OF_HEAD) + END_OF_HEAD.length;
      if (bodyAt < END_OF_HEAD.length) return;
      const length = /content-length: *(\d+)/i.exec(pending.toString("latin1", 0, bodyAt))?.[1];
      if (pending.length < bodyAt + Number(length)) return;
      const request = pending;
      pending = Buffer.alloc(0);
      this.#answer(request, bodyAt).then((answer) => socket.write(answer), () => socket.destroy());
    });
  }

  #answer(request: Buffer, bodyAt: number): Promise<Buffer> {
    const body = request.toString("latin1", bodyAt);
    const known = this.#answers.get(body);
    if (known !== undefined) return known;
    const asked = this.#ask(request);
    this.#answers.set(body, asked);
    // What failed is asked again.
    asked.catch(() => this.#answers.delete(body));
    return asked;
  }

  async #ask(request: Buffer): Promise<Buffer> {
    using exchange = await Exchange.open(this.#verifying);
    return Buffer.concat(await exchange.send(request));
  }
}
