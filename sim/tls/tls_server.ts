import { once } from "node:events";
import { type AddressInfo, createServer, type Server, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { acceptUnix } from "#accept-unix";
import { createSecureContext, type SecureContext, TLSSocket } from "node:tls";
import type { TcpEndpoint, UnixEndpoint } from "../../lib/core/endpoint.ts";
import { TurnLimiter } from "../../lib/core/turn_limiter.ts";
import type { Acceptor } from "../../lib/transport/connection.ts";
import { encodeAnswer, type HttpAnswer, HttpError, HttpReader, type HttpRequest } from "./http_message.ts";
import type { ServerCertificate } from "./tls_certificates.ts";

/** An answer, and how it goes out. */
export interface Delivery {
  /** Answer; raw bytes are sent as they are. */
  readonly answer: HttpAnswer | Uint8Array;
  /** Cut of the answer after so many bytes, of all or of the body: the connection is reset, or ended in order. */
  readonly cut?:
    | { readonly atByte: number; readonly how: "reset" | "end"; readonly ofBody?: true }
    | undefined;
  /** Slow sending: so many bytes at a time, with a pause between them. */
  readonly pace?: { readonly bytes: number; readonly pauseMs: number } | undefined;
  /** Ends the connection so many milliseconds after the answer. */
  readonly closeAfterMs?: number | undefined;
}

/** Handler of a server's connections. */
export interface ConnectionHandler {
  /** Chooses the certificate for a new connection: "silence" leaves it unanswered, "clear" takes HTTP without TLS. */
  certificate(): Promise<ServerCertificate | "silence" | "clear">;
  /** Answers a request. A promise that never settles leaves the client waiting. */
  answer(request: HttpRequest): Promise<Delivery>;
}

/** Address at which the server listens. */
export type ListenAddress = TcpEndpoint | UnixEndpoint;

/** Connections over a unix socket that may wait to be accepted. */
const UNIX_BACKLOG = 128;

/** Starts one request in each turn of the event loop, however many a client has sent. */
const REQUESTS = new TurnLimiter();

/** HTTPS over TCP or a unix socket, with a hand on every connection. */
export class TlsServer implements AsyncDisposable {
  readonly #handler: ConnectionHandler;
  readonly #sockets = new Set<Duplex>();
  readonly #server: Server;
  readonly #contexts = new WeakMap<ServerCertificate, SecureContext>();
  #unix: Acceptor | undefined;
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
    if (address.transport === "unix") {
      this.#unix = await acceptUnix(address, UNIX_BACKLOG, (stream) => this.#accept(stream));
      return address;
    }
    this.#server.listen({ host: address.host, port: address.port });
    await once(this.#server, "listening");
    const { port } = this.#server.address() as AddressInfo;
    return { ...address, port };
  }

  /** Stops listening and breaks all connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.#server.listening &&
      new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) breakOff(socket);
    await closed;
    await this.#unix?.stop();
  }

  #accept(raw: Duplex): void {
    this.#connectionCount++;
    this.#sockets.add(raw);
    raw.on("close", () => this.#sockets.delete(raw));
    raw.on("error", () => {});
    this.#serve(raw).catch(() => raw.destroy());
  }

  async #serve(raw: Duplex): Promise<void> {
    const certificate = await this.#handler.certificate();
    if (certificate === "silence") return;
    const socket = certificate === "clear" ? raw : this.#secure(raw, certificate);
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

  #secure(raw: Duplex, certificate: ServerCertificate): TLSSocket {
    const secureContext = this.#contexts.get(certificate) ?? createSecureContext(certificate);
    this.#contexts.set(certificate, secureContext);
    const socket = new TLSSocket(raw as Socket, { isServer: true, secureContext, ...certificate });
    socket.on("error", () => raw.destroy());
    return socket;
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

async function refuse(status: number, socket: Duplex, raw: Duplex): Promise<void> {
  await deliver({ answer: { status, headers: {}, body: new Uint8Array() } }, false, socket, raw);
}

async function deliver(
  delivery: Delivery,
  keepAlive: boolean,
  socket: Duplex,
  raw: Duplex,
): Promise<void> {
  const { answer, cut, closeAfterMs, pace } = delivery;
  const bytes = answer instanceof Uint8Array ? answer : encodeAnswer(answer, keepAlive);
  if (cut === undefined) {
    await (pace === undefined ? write(socket, bytes) : trickle(socket, bytes, pace));
    if (!keepAlive) socket.end();
    else if (closeAfterMs !== undefined) setTimeout(() => socket.end(), closeAfterMs);
    return;
  }
  const headLength = answer instanceof Uint8Array ? 0 : bytes.length - answer.body.length;
  await write(socket, bytes.subarray(0, cut.atByte + (cut.ofBody === true ? headLength : 0)));
  if (cut.how === "end") socket.end();
  else {
    // A reset overtakes what is still on its way: let the bytes before it arrive.
    await new Promise((resolve) => setTimeout(resolve, cut.atByte > 0 ? RESET_DELAY_MS : 0));
    breakOff(raw);
  }
}

const RESET_DELAY_MS = 20;

function write(socket: Duplex, bytes: Uint8Array): Promise<void> {
  if (bytes.length === 0) return Promise.resolve();
  return new Promise((resolve) => socket.write(bytes, () => resolve()));
}

async function trickle(
  socket: Duplex,
  bytes: Uint8Array,
  pace: { bytes: number; pauseMs: number },
): Promise<void> {
  for (let at = 0; at < bytes.length && !socket.destroyed; at += pace.bytes) {
    await write(socket, bytes.subarray(at, at + pace.bytes));
    await new Promise((resolve) => setTimeout(resolve, pace.pauseMs));
  }
}

/** Resets the connection where the transport has RST. */
function breakOff(stream: Duplex): void {
  // One that is shutting down cannot be reset any more: Node would leave its descriptor open.
  if (stream instanceof Socket && stream.remotePort !== undefined && !stream.writableEnded) {
    stream.resetAndDestroy();
  } else stream.destroy();
}
