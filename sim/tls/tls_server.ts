import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { createSecureContext, type SecureContext, TLSSocket } from "node:tls";
import type { TcpEndpoint, UnixEndpoint } from "../../lib/core/endpoint.ts";
import { TurnLimiter } from "../../lib/core/turn_limiter.ts";
import { encodeAnswer, type HttpAnswer, HttpError, HttpReader, type HttpRequest } from "./http_message.ts";
import type { ServerCertificate } from "./tls_certificates.ts";

/** An answer, and how it goes out. */
export interface Delivery {
  /** Answer; raw bytes are sent as they are. */
  readonly answer: HttpAnswer | Uint8Array;
  /** Cut of the answer after so many bytes: the connection is reset, or ended in order. */
  readonly cut?: { readonly atByte: number; readonly how: "reset" | "end" } | undefined;
  /** Ends the connection so many milliseconds after the answer. */
  readonly closeAfterMs?: number | undefined;
}

/** Handler of a server's connections. */
export interface ConnectionHandler {
  /** Chooses the certificate for a new connection, or "silence" to leave it unanswered. */
  certificate(): Promise<ServerCertificate | "silence">;
  /** Answers a request. A promise that never settles leaves the client waiting. */
  answer(request: HttpRequest): Promise<Delivery>;
}

/** Address at which the server listens. */
export type ListenAddress = TcpEndpoint | UnixEndpoint;

/** Starts one request in each turn of the event loop, however many a client has sent. */
const REQUESTS = new TurnLimiter();

/** HTTPS over TCP or a unix socket, with a hand on every connection. */
export class TlsServer implements AsyncDisposable {
  readonly #handler: ConnectionHandler;
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;
  readonly #contexts = new WeakMap<ServerCertificate, SecureContext>();
  #connectionCount = 0;

  /** @param handler Gives certificates and answers */
  constructor(handler: ConnectionHandler) {
    this.#handler = handler;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /** Number of connections accepted. */
  get connectionCount(): number {
    return this.#connectionCount;
  }

  /**
   * Listens at an address.
   *
   * @param address The address; port 0 takes a free one
   * @returns The address with the port that was taken
   */
  async listen(address: ListenAddress): Promise<ListenAddress> {
    this.#server.listen(
      address.transport === "unix" ? { path: address.path } : { host: address.host, port: address.port },
    );
    await once(this.#server, "listening");
    const bound = this.#server.address();
    if (address.transport === "unix" || bound === null || typeof bound === "string") return address;
    return { ...address, port: bound.port };
  }

  /** Stops listening and breaks all connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.#server.listening &&
      new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) breakOff(socket);
    await closed;
  }

  #accept(raw: Socket): void {
    this.#connectionCount++;
    this.#sockets.add(raw);
    raw.on("close", () => this.#sockets.delete(raw));
    raw.on("error", () => {});
    this.#serve(raw).catch(() => raw.destroy());
  }

  async #serve(raw: Socket): Promise<void> {
    const certificate = await this.#handler.certificate();
    if (certificate === "silence") return;
    const secureContext = this.#contexts.get(certificate) ?? createSecureContext(certificate);
    this.#contexts.set(certificate, secureContext);
    const socket = new TLSSocket(raw, { isServer: true, secureContext, ...certificate });
    socket.on("error", () => raw.destroy());
    const reader = new HttpReader();
    for await (const chunk of socket) {
      for (const request of readOrRefuse(reader, chunk as Uint8Array)) {
        if (typeof request === "number") return await refuse(request, socket, raw);
        await REQUESTS.take();
        const keepAlive = request.headers.get("connection")?.toLowerCase() !== "close";
        await deliver(await this.#handler.answer(request), keepAlive, socket, raw);
      }
    }
  }
}

/** Reads the requests, or the status to refuse with. */
function readOrRefuse(reader: HttpReader, chunk: Uint8Array): (HttpRequest | number)[] {
  try {
    return reader.read(chunk);
  } catch (error) {
    return [error instanceof HttpError ? error.status : 500];
  }
}

async function refuse(status: number, socket: TLSSocket, raw: Socket): Promise<void> {
  await deliver({ answer: { status, headers: {}, body: new Uint8Array() } }, false, socket, raw);
}

async function deliver(
  delivery: Delivery,
  keepAlive: boolean,
  socket: TLSSocket,
  raw: Socket,
): Promise<void> {
  const { answer, cut, closeAfterMs } = delivery;
  const bytes = answer instanceof Uint8Array ? answer : encodeAnswer(answer, keepAlive);
  if (cut === undefined) {
    await write(socket, bytes);
    if (!keepAlive) socket.end();
    else if (closeAfterMs !== undefined) setTimeout(() => socket.end(), closeAfterMs);
    return;
  }
  await write(socket, bytes.subarray(0, cut.atByte));
  if (cut.how === "end") socket.end();
  else {
    // A reset overtakes what is still on its way: let the bytes before it arrive.
    await new Promise((resolve) => setTimeout(resolve, cut.atByte > 0 ? RESET_DELAY_MS : 0));
    breakOff(raw);
  }
}

const RESET_DELAY_MS = 20;

function write(socket: TLSSocket, bytes: Uint8Array): Promise<void> {
  if (bytes.length === 0) return Promise.resolve();
  return new Promise((resolve) => socket.write(bytes, () => resolve()));
}

/** Resets the connection where the transport has RST. */
function breakOff(socket: Socket): void {
  const overTcp = socket.remotePort !== undefined;
  // One that is shutting down cannot be reset any more: Node would leave its descriptor open.
  if (overTcp && !socket.writableEnded) socket.resetAndDestroy();
  else socket.destroy();
}
