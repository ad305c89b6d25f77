/**
 * HTTPS server that stands for services of AWS: it checks the signature of each request with the simulator's own SigV4.
 *
 * @module
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { type Authorization, expectedSignature, parseAuthorization, sha256Hex } from "../../sim/sigv4.ts";
import type { TlsAuthority } from "../../sim/tls/tls_certificates.ts";

/** Request whose signature was right. */
export interface SignedRequest {
  readonly service: string;
  readonly method: string;
  readonly target: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: Uint8Array;
}

/** Answer of a fake service. */
export type Answer = (request: SignedRequest, response: ServerResponse) => void;

/** Parts of a server. */
export interface SignedServerParts {
  readonly answer: Answer;
  /** Finds the secret access key of an access key id; an empty one refuses it. */
  readonly secretOf: (accessKeyId: string) => string;
  /** Address to listen on. Default: a free port of 127.0.0.1. */
  readonly host?: string;
  readonly port?: number;
}

/** The server. What it is asked with a wrong signature is 403. */
export class SignedServer implements AsyncDisposable {
  /** Requests whose signatures were right. */
  readonly seen: SignedRequest[] = [];
  /** Connections that are open. */
  readonly sockets: Set<Socket> = new Set();
  readonly #parts: SignedServerParts;
  readonly #server: Server;
  #connectionCount = 0;

  private constructor(server: Server, parts: SignedServerParts) {
    this.#parts = parts;
    this.#server = server;
    server.on("request", (request, response) => {
      void this.#serve(request, response).catch((error) => {
        response.writeHead(403, { "x-fake": String((error as Error).message).replaceAll(/[^ -~]/g, " ") })
          .end();
      });
    });
    server.on("secureConnection", (socket: Socket) => {
      this.#connectionCount++;
      this.sockets.add(socket);
      socket.once("close", () => this.sockets.delete(socket));
      socket.on("error", () => {});
    });
  }

  static async start(authority: TlsAuthority, parts: SignedServerParts): Promise<SignedServer> {
    const server = createServer(await authority.certificate("valid"));
    // However busy the machine is: who closes what is idle is not the subject here.
    server.keepAliveTimeout = 0;
    const signed = new SignedServer(server, parts);
    server.listen(parts.port ?? 0, parts.host ?? "127.0.0.1");
    await once(server, "listening");
    return signed;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Number of connections since the start. */
  get connectionCount(): number {
    return this.#connectionCount;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const signed = await readSigned(request, this.#parts.secretOf);
    this.seen.push(signed);
    this.#parts.answer(signed, response);
  }
}

async function readSigned(
  request: IncomingMessage,
  secretOf: SignedServerParts["secretOf"],
): Promise<SignedRequest> {
  const body = await readBody(request);
  const { method = "", url: target = "", headers } = request;
  const authorization = parseAuthorization(String(headers.authorization));
  assert.ok(authorization !== undefined, "no signature");
  expectSignature({ method, target, headers, body }, authorization, secretOf(authorization.accessKeyId));
  return { service: authorization.service, method, target, headers, body };
}

function expectSignature(
  { method, target, headers, body }: Omit<SignedRequest, "service">,
  authorization: Authorization,
  secret: string,
): void {
  const [path = "", query = ""] = target.split("?");
  const payloadHash = authorization.service === "s3"
    ? String(headers["x-amz-content-sha256"])
    : sha256Hex(body);
  const read = new Map(Object.entries(headers).map(([name, value]) => [name, String(value)]));
  const parts = { method, path, query: canonical(query), headers: read, payloadHash };
  assert.ok(secret !== "", "nobody's access key");
  const expected = expectedSignature(parts, authorization, secret);
  assert.deepEqual(new Uint8Array(expected), new Uint8Array(authorization.signature), "another signature");
}

async function readBody(request: IncomingMessage): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of request) chunks.push(chunk as Uint8Array);
  const body = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.length;
  }
  return body;
}

function canonical(query: string): string {
  return query.split("&").map((part) => part === "" || part.includes("=") ? part : `${part}=`).sort().join(
    "&",
  );
}
