/**
 * Services of AWS behind a relay of the parent: one HTTPS server with the names of all, which checks the signature of
 * each request with the simulator's own SigV4.
 *
 * @module
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { VsockRequestHandlerOptions } from "../../aws_sdk/mod.ts";
import { type VsockRequestHandler, vsockRequestHandler } from "../../aws_sdk/vsock_request_handler.ts";
import { TlsRelay } from "../../parent/tls_relay.ts";
import { expectedSignature, parseAuthorization, sha256Hex } from "../../sim/sigv4.ts";
import { TlsAuthority } from "../../sim/tls/tls_certificates.ts";

export const REGION = "eu-central-1";
export const CREDENTIALS = {
  accessKeyId: "ASIAEXAMPLE",
  secretAccessKey: "an example of a secret access key",
  sessionToken: "an example of a session token",
};

/** Longer than any busy machine takes: what does not end is the runner's to end. */
export const PATIENCE_MS = 1_200_000;

/** Times of a handler, where they are not the subject. */
export const PATIENT = { connectTimeoutMs: PATIENCE_MS, idleTimeoutMs: PATIENCE_MS };

/** Names that the relay lets through, and the certificate has. */
const NAMES = `*.${REGION}.amazonaws.com`;
const ALLOW = ["s3", "secretsmanager", "ssm", "sts", "kms"].map((name) => `${name}.${REGION}.amazonaws.com`);

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

/** Services behind a relay. */
export interface Services extends AsyncDisposable {
  /** Requests whose signatures were right. */
  readonly seen: readonly SignedRequest[];
  /** Connections that are open. */
  readonly sockets: ReadonlySet<Socket>;
  /** Number of connections since the start. */
  readonly connectionCount: number;
  /** Makes a request handler that leads to the relay. */
  handler(options?: Partial<VsockRequestHandlerOptions>): VsockRequestHandler;
}

/** Starts services behind a relay. */
export async function startServices(answer: Answer): Promise<Services> {
  const authority = await TlsAuthority.create(NAMES);
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-aws-"));
  const sockets = new Set<Socket>();
  const seen: SignedRequest[] = [];
  const server = createServer(await authority.certificate("valid"), (request, response) => {
    void serve(request, response).catch((error) => {
      response.writeHead(403, { "x-fake": String((error as Error).message).replaceAll(/[^ -~]/g, " ") })
        .end();
    });
  });
  // However busy the machine is: who closes what is idle is not the subject here.
  server.keepAliveTimeout = 0;
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const signed = await readSigned(request);
    seen.push(signed);
    answer(signed, response);
  };
  let connectionCount = 0;
  server.on("secureConnection", (socket: Socket) => {
    connectionCount++;
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => {});
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const relay = await openRelay(folder, port);
  return {
    seen,
    sockets,
    get connectionCount() {
      return connectionCount;
    },
    handler: (options: Partial<VsockRequestHandlerOptions> = {}): VsockRequestHandler =>
      vsockRequestHandler({
        relay: relay.endpoint,
        trustedCertificates: authority.trustedCertificates,
        ...PATIENT,
        ...options,
      }),
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
      await relay[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true });
    },
  };
}

/** Opens a relay that leads to one port of this machine, whatever the name. */
export function openRelay(simulationFolder: string, targetPort: number): Promise<TlsRelay> {
  return TlsRelay.open({
    port: 8443,
    allow: ALLOW,
    targetPort,
    simulationFolder,
    connectTimeoutMs: PATIENCE_MS,
    helloTimeoutMs: PATIENCE_MS,
    tryTimeoutMs: PATIENCE_MS,
    lookup: () => Promise.resolve(["127.0.0.1"]),
  });
}

async function readSigned(request: IncomingMessage): Promise<SignedRequest> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of request) chunks.push(chunk as Uint8Array);
  const body = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.length;
  }
  const { method = "", url: target = "", headers } = request;
  const authorization = parseAuthorization(String(headers.authorization));
  assert.ok(authorization !== undefined, "no signature");
  const [path = "", query = ""] = target.split("?");
  const payloadHash = authorization.service === "s3"
    ? String(headers["x-amz-content-sha256"])
    : sha256Hex(body);
  const read = new Map(Object.entries(headers).map(([name, value]) => [name, String(value)]));
  const parts = { method, path, query: canonical(query), headers: read, payloadHash };
  const expected = expectedSignature(parts, authorization, CREDENTIALS.secretAccessKey);
  assert.deepEqual(new Uint8Array(expected), new Uint8Array(authorization.signature), "another signature");
  return { service: authorization.service, method, target, headers, body };
}

function canonical(query: string): string {
  return query.split("&").map((part) => part === "" || part.includes("=") ? part : `${part}=`).sort().join(
    "&",
  );
}
