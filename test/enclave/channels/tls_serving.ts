import { once } from "node:events";
import { Agent, request } from "node:https";
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from "node:tls";
import { type HttpCaller, HttpListener } from "../../../enclave/http/http_listener.ts";
import { TlsChannel } from "../../../enclave/channels/tls_channel.ts";
import type { HandshakeLimits, TlsListener } from "../../../enclave/channels/tls_listener.ts";
import { createLogger } from "../../../enclave/telemetry/log.ts";
import { Metrics } from "../../../enclave/telemetry/metrics.ts";
import { RefusalLog } from "../../../enclave/telemetry/refusal_log.ts";
import type { Endpoint } from "../../../lib/core/endpoint.ts";
import { listen, type Listener, type ListenOptions } from "../../../lib/transport/listen.ts";
import { type Identity, issueCertificate, pem, privateKeyPem } from "../../../sim/tls/certificates.ts";
import { dial } from "../../server/serving.ts";

export const DAY_MS = 86_400_000;
export const BOOT_ID = "00112233445566778899aabbccddeeff";
const ANY: Endpoint = { transport: "tcp", host: "127.0.0.1", port: 0 };

/** Differences between a test's server and the usual one. */
export interface TlsServingOptions {
  readonly clientAuthorities?: string | undefined;
  readonly now?: () => number | undefined;
  readonly limits?: HandshakeLimits;
  readonly fetch?: (request: Request, caller: HttpCaller) => Response | Promise<Response>;
  readonly headersMs?: number;
}

/** A TLS channel that is served. Requests are kept with their callers. */
export class TlsServing implements AsyncDisposable {
  readonly added: [string, Uint8Array][] = [];
  readonly channel: TlsChannel;
  readonly metrics = new Metrics();
  readonly logged: string[] = [];
  readonly callers: HttpCaller[] = [];
  readonly http: HttpListener;
  readonly tls: TlsListener;
  readonly #listeners: Listener[] = [];

  constructor({ clientAuthorities, now, limits, fetch, headersMs = 10_000 }: TlsServingOptions = {}) {
    const add = (name: string, key: Uint8Array) => void this.added.push([name, key]);
    this.channel = TlsChannel.create({ keys: { bootId: BOOT_ID, add }, clientAuthorities, now });
    const logger = createLogger("debug", (line) => this.logged.push(line));
    const log = { logger, metrics: this.metrics, refusals: new RefusalLog({ logger }) };
    this.http = new HttpListener({
      ...log,
      timeouts: { headersMs, bodyMs: 10_000, answerMs: 30_000, idleMs: 60_000 },
      fetch: async (request, caller) => {
        this.callers.push(caller);
        return await fetch?.(request, caller) ?? Response.json({ channel: caller.channel ?? null });
      },
    });
    this.tls = this.channel.handler(this.http, log, limits);
  }

  async listen(endpoint: Endpoint = ANY, options: ListenOptions = {}): Promise<Endpoint> {
    const listener = await listen(
      endpoint,
      { backlog: 1024, giveWay: () => this.tls.giveWay(), ...options },
      ({ stream, peer }) => this.tls.accept(stream, peer?.cid ?? 16),
    );
    this.#listeners.push(listener);
    return listener.endpoint;
  }

  /** Number of handshakes with an outcome. */
  handshakes(outcome: string): number {
    const line = new RegExp(`^enclave_kms_tls_handshakes_total\\{outcome="${outcome}"\\} (\\d+)$`, "m");
    return Number(line.exec(this.metrics.render())?.[1] ?? 0);
  }

  /** Answers in the log, of handshakes that were refused. */
  get refusals(): unknown[] {
    const lines = this.logged.map((line) => JSON.parse(line) as Record<string, unknown>);
    return lines.filter(({ operation }) => operation === "Handshake").map(({ answer }) => answer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.tls.close(200);
    for (const listener of this.#listeners) await listener[Symbol.asyncDispose]();
    this.channel[Symbol.dispose]();
  }
}

/** Identity of a TLS client, PEM. */
export interface ClientIdentity {
  readonly cert: string;
  readonly key: string;
}

/** Makes an authority for clients. */
export function makeAuthority(name = "Clients", now = Date.now()): Promise<Identity> {
  const [notBefore, notAfter] = [now - 365 * DAY_MS, now + 365 * DAY_MS];
  return issueCertificate({ subject: [["CN", name]], curve: "P-256", notBefore, notAfter, pathLength: 0 });
}

/** Makes a client's certificate: of an authority, or self-signed. */
export async function makeClient(
  issuer: Identity | undefined,
  changes: Partial<Parameters<typeof issueCertificate>[0]> = {},
): Promise<ClientIdentity & { readonly der: Uint8Array<ArrayBuffer> }> {
  const now = Date.now();
  const client = await issueCertificate({
    subject: [["CN", "client"]],
    curve: "P-256",
    notBefore: now - DAY_MS,
    notAfter: now + DAY_MS,
    ...changes,
  }, issuer);
  return { ...await identityPem(client), der: client.certificate };
}

/** Writes an identity as PEM. */
export async function identityPem(identity: Identity): Promise<ClientIdentity> {
  return { cert: pem("CERTIFICATE", identity.certificate), key: await privateKeyPem(identity) };
}

/** Answer to a request over TLS, or the code of the failure. */
export type Asked = { readonly status: number; readonly body: string } | { readonly failure: string };

/** Sends one GET over a connection of its own. */
export function ask(
  endpoint: Endpoint,
  options: ConnectionOptions & { readonly path?: string },
): Promise<Asked> {
  const servername = "enclave.internal";
  const place = endpoint.transport === "tcp"
    ? { host: endpoint.host, port: endpoint.port, agent: false }
    : { agent: agentOver(() => connectTls({ socket: dial(endpoint), servername, ...options })) };
  return new Promise((resolve) => {
    const sent = request({ ...place, servername, path: "/", ...options });
    const fail = (error: Error & { code?: string }) => resolve({ failure: error.code ?? error.message });
    sent.on("error", fail);
    sent.on("response", (answer) => {
      let body = "";
      answer.setEncoding("utf8").on("data", (chunk: string) => body += chunk).on("error", fail);
      answer.on("end", () => resolve({ status: answer.statusCode ?? 0, body }));
    });
    sent.end();
  });
}

function agentOver(createConnection: () => TLSSocket): Agent {
  return Object.assign(new Agent(), { createConnection });
}

/** Opens a TLS connection, and waits for the end of its handshake. */
export async function open(endpoint: Endpoint, options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connectTls({ socket: dial(endpoint), servername: "enclave.internal", ...options });
  socket.on("error", () => {});
  await once(socket, "secureConnect");
  return socket;
}
