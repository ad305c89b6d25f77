/**
 * Services of AWS behind a relay of the parent: one HTTPS server with the names of all, which checks the signature of
 * each request with the simulator's own SigV4.
 *
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { VsockRequestHandlerOptions } from "../../aws_sdk/mod.ts";
import { type VsockRequestHandler, vsockRequestHandler } from "../../aws_sdk/vsock_request_handler.ts";
import { TlsRelay, type TlsRelayOptions } from "../../parent/tls_relay.ts";
import { TlsAuthority } from "../../sim/tls/tls_certificates.ts";
import { type Answer, type SignedRequest, SignedServer } from "./signed_server.ts";

export type { Answer, SignedRequest } from "./signed_server.ts";

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
export const NAMES = `*.${REGION}.amazonaws.com`;
const ALLOW = ["s3", "secretsmanager", "ssm", "sts", "kms"].map((name) => `${name}.${REGION}.amazonaws.com`);

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
  const server = await SignedServer.start(authority, { answer, secretOf: () => CREDENTIALS.secretAccessKey });
  const relay = await openRelay(folder, server.port);
  return {
    seen: server.seen,
    sockets: server.sockets,
    get connectionCount() {
      return server.connectionCount;
    },
    handler: (options: Partial<VsockRequestHandlerOptions> = {}): VsockRequestHandler =>
      vsockRequestHandler({
        relay: relay.endpoint,
        trustedCertificates: authority.trustedCertificates,
        ...PATIENT,
        ...options,
      }),
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await relay[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true });
    },
  };
}

/** Opens a relay that leads to one port of this machine, whatever the name. */
export function openRelay(
  simulationFolder: string | undefined,
  targetPort: number,
  options: Partial<TlsRelayOptions> = {},
): Promise<TlsRelay> {
  return TlsRelay.open({
    port: 8443,
    allow: ALLOW,
    targetPort,
    simulationFolder,
    connectTimeoutMs: PATIENCE_MS,
    helloTimeoutMs: PATIENCE_MS,
    tryTimeoutMs: PATIENCE_MS,
    lookup: () => Promise.resolve(["127.0.0.1"]),
    ...options,
  });
}
