import { Buffer } from "node:buffer";
import type { RequestOptions } from "node:https";
import type { Duplex } from "node:stream";
import { type ConnectionOptions, createSecureContext } from "node:tls";
import {
  type BootAttestation,
  type BootAttestationOptions,
  checkBootOptions,
} from "../../attestation/boot_attestation.ts";
import { type CallOptions, checkTimeout } from "../../core/call_options.ts";
import { checkFields } from "../../core/checks.ts";
import { Deadline } from "../../core/deadline.ts";
import { checkEndpoint, type Endpoint } from "../../core/endpoint.ts";
import { type Fetch, fetchOver } from "../../transport/create_fetch.ts";
import { StreamAgent } from "../../transport/stream_agent.ts";
import { AttestedTls } from "./attested_tls.ts";

/** Trust in enclaves, and the way to them. `pcrs` must be given; the rest has defaults. */
export interface AttestedTlsOptions extends Omit<BootAttestationOptions, "nonce" | "at"> {
  /** Address of the enclave's TLS, or of a bridge to it. Default: host and port of each request's URL, over TCP. */
  readonly endpoint?: Endpoint | undefined;
  /** Certificate of this side, PEM, and those between it and an authority. Shown to verified enclaves only. */
  readonly cert?: string | Uint8Array | undefined;
  /** Private key of `cert`, PEM. */
  readonly key?: string | Uint8Array | undefined;
  /** Milliseconds to connect, and as much for a question before, 1 to 2147483647. Default: 10000. */
  readonly timeoutMs?: number | undefined;
  /** Called with each enclave that passes, and awaited; what it throws refuses it: to pin a boot id, or to log. */
  readonly onAttested?: ((boot: BootAttestation) => unknown) | undefined;
}

/**
 * Makes an agent of `node:https` whose connections end inside verified enclaves, for `https.request` and every client
 * that takes an agent, on Node and Deno.
 *
 * Before the first connection to an endpoint, and again when another certificate is shown there, the enclave is asked
 * for its attestation, over TLS that is not trusted yet. When the document is as expected and vouches for the key of
 * the certificate, that one certificate is trusted, and no authority beside it. Not a byte of a request, and no
 * certificate of this side, leaves before that. What a request itself says of trust (`ca`, `rejectUnauthorized`,
 * `servername`) is not read.
 *
 * Not guaranteed: that it is always the same enclave. Any that has the expected PCRs passes, such as another of the same
 * image that the parent leads to, or the same after a restart; `onAttested` tells them apart. Nor that a parent passes
 * anything on.
 *
 * @param options Expectations of the document, as for `verifyAttestation`, and the way to the enclave
 * @returns The agent; `destroy()` closes its connections. Idle ones do not keep the process alive
 * @throws {TypeError} When an option is unknown or of a wrong type, or `pcrs` is missing or names no register
 * @throws {RangeError} When an option is empty or out of range
 * @example
 * ```ts
 * import { mkdtempSync, writeFileSync } from "node:fs";
 * import { request } from "node:https";
 * import { tmpdir } from "node:os";
 * import { join } from "node:path";
 * import { attestedTlsAgent } from "enclave-kms/channel/node";
 * import { enclaveApp, startEnclave } from "enclave-kms/enclave";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * const policy = join(mkdtempSync(join(tmpdir(), "hello-")), "policy.cedar");
 * writeFileSync(policy, 'permit(principal, action == Action::"GetAttestation", resource);');
 * const settings = { ENV_SETUP: "SIM", ENCLAVE_PORT: "0", CONTROL_PORT: "0", ENCLAVE_KMS_TLS: "tcp:127.0.0.1:0" };
 * const environment = { ...settings, ENCLAVE_KMS_POLICY_FILE: policy, ENCLAVE_KMS_LOG_LEVEL: "silent" };
 * const app = enclaveApp().get("/v1/hello", (c) => c.json({ hello: c.var.channel }));
 * await using simulator = await startSimulator();
 * await using enclave = await startEnclave(app, { name: "hello", nsm: simulator.nsm, environment });
 *
 * // At the caller, with PCRs from the build, and without `root`, which is for the simulator.
 * const pcrs = { 0: simulator.nsm.pcr(0) };
 * const agent = attestedTlsAgent({ pcrs, root: simulator.nsm.root, endpoint: enclave.tlsEndpoint });
 * const status = await new Promise((resolve, reject) => {
 *   const sent = request("https://enclave.internal/v1/hello", { agent }, (answer) => {
 *     resolve(answer.resume().statusCode);
 *   });
 *   sent.on("error", reject).end();
 * });
 * status; // 200
 * agent.destroy();
 * ```
 */
export function attestedTlsAgent(options: AttestedTlsOptions): AttestedTlsAgent {
  return new AttestedTlsAgent(checkOptions(options));
}

/**
 * Makes a `fetch` whose requests end inside verified enclaves, as {@link attestedTlsAgent} does. URLs must begin with
 * `https:`. Each request has a connection of its own, bodies are streams, and redirects are not followed.
 *
 * @param options Expectations of the document, as for `verifyAttestation`, and the way to the enclave
 * @returns A function with the signature of `fetch`
 * @throws {TypeError} When an option is unknown or of a wrong type, or `pcrs` is missing or names no register
 * @throws {RangeError} When an option is empty or out of range
 * @example
 * ```ts
 * import { mkdtempSync, writeFileSync } from "node:fs";
 * import { tmpdir } from "node:os";
 * import { join } from "node:path";
 * import { attestedTlsFetch } from "enclave-kms/channel/node";
 * import { enclaveApp, startEnclave } from "enclave-kms/enclave";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * const policy = join(mkdtempSync(join(tmpdir(), "hello-")), "policy.cedar");
 * writeFileSync(policy, 'permit(principal, action == Action::"GetAttestation", resource);');
 * const settings = { ENV_SETUP: "SIM", ENCLAVE_PORT: "0", CONTROL_PORT: "0", ENCLAVE_KMS_TLS: "tcp:127.0.0.1:0" };
 * const environment = { ...settings, ENCLAVE_KMS_POLICY_FILE: policy, ENCLAVE_KMS_LOG_LEVEL: "silent" };
 * const app = enclaveApp().get("/v1/hello", (c) => c.json({ hello: c.var.channel }));
 * await using simulator = await startSimulator();
 * await using enclave = await startEnclave(app, { name: "hello", nsm: simulator.nsm, environment });
 *
 * // At the caller, with PCRs from the build, and without `root`, which is for the simulator.
 * const pcrs = { 0: simulator.nsm.pcr(0) };
 * const fetch = attestedTlsFetch({ pcrs, root: simulator.nsm.root, endpoint: enclave.tlsEndpoint });
 * const answer = await fetch("https://enclave.internal/v1/hello");
 * await answer.json(); // { hello: "tls" }
 * ```
 */
export function attestedTlsFetch(options: AttestedTlsOptions): Fetch {
  const { tls, endpoint, timeoutMs } = checkOptions(options);
  const open = async ({ hostname, port }: URL, call: CallOptions) => {
    using deadline = new Deadline("connect to the enclave", timeoutMs, call.signal, "connect");
    const { socket } = await tls.connect(endpoint ?? tcpEndpoint(hostname, port), deadline);
    return socket;
  };
  return fetchOver({ protocol: "https:", open }, { connectTimeoutMs: timeoutMs });
}

/** Agent of `node:https` whose connections end inside verified enclaves. */
export class AttestedTlsAgent extends StreamAgent {
  readonly #parts: CheckedOptions;

  /** @internal */
  constructor(parts: CheckedOptions) {
    super({ keepAlive: true });
    this.#parts = parts;
  }

  /** Called by node:https: connections to the same address serve the same requests, whatever else these say. */
  override getName({ host, port }: RequestOptions = {}): string {
    return this.#parts.endpoint === undefined ? `${host}:${port}` : "enclave";
  }

  /** Called by node:https when no connection is idle. */
  override createConnection(
    options: RequestOptions,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    const settle = callback as ((error: Error | null, stream?: Duplex) => void) | undefined;
    if (settle === undefined) throw new TypeError("Cannot connect: no callback to call");
    this.#connect(options).then(
      (socket) => settle(null, socket),
      // The reason of an abort may be anything.
      (error) => settle(error instanceof Error ? error : new Error("aborted")),
    );
  }

  async #connect({ host, port }: RequestOptions): Promise<Duplex> {
    const { tls, endpoint, timeoutMs } = this.#parts;
    using deadline = new Deadline("connect to the enclave", timeoutMs, undefined, "connect");
    const { socket, raw } = await tls.connect(endpoint ?? tcpEndpoint(host, port), deadline);
    this.adopt(socket, raw);
    return socket;
  }
}

const HTTPS_PORT = 443;

function tcpEndpoint(host: string | null | undefined, port: number | string | null | undefined): Endpoint {
  const bare = (host ?? "").replace(/^\[|\]$/g, "");
  return checkEndpoint({ transport: "tcp", host: bare, port: Number(port || HTTPS_PORT) });
}

interface CheckedOptions {
  readonly tls: AttestedTls;
  readonly endpoint: Endpoint | undefined;
  readonly timeoutMs: number;
}

const OPTIONS = [
  "pcrs",
  "root",
  "maxAgeMs",
  "allowDebug",
  "endpoint",
  "cert",
  "key",
  "timeoutMs",
  "onAttested",
];
const DEFAULT_TIMEOUT_MS = 10_000;

function checkOptions(options: AttestedTlsOptions): CheckedOptions {
  const given = checkFields("options of attested TLS", options, OPTIONS);
  const { endpoint, cert, key, timeoutMs, onAttested, ...expectations } = given;
  if (onAttested !== undefined && typeof onAttested !== "function") {
    throw new TypeError("onAttested must be a function");
  }
  const checkedTimeoutMs = checkTimeout(timeoutMs, DEFAULT_TIMEOUT_MS);
  const tls = new AttestedTls({
    expectations: checkBootOptions({ ...expectations }),
    identity: checkIdentity(cert, key),
    timeoutMs: checkedTimeoutMs,
    onAttested,
  });
  return {
    tls,
    endpoint: endpoint === undefined ? undefined : checkEndpoint(endpoint),
    timeoutMs: checkedTimeoutMs,
  };
}

function checkIdentity(cert: unknown, key: unknown): Pick<ConnectionOptions, "cert" | "key"> {
  if (cert === undefined && key === undefined) return {};
  const identity = { cert: asPem("cert", cert), key: asPem("key", key) };
  try {
    createSecureContext(identity);
    return identity;
  } catch {
    // The runtimes' own messages may quote what stands there.
    throw new TypeError("cert and key must be a certificate and its key in PEM");
  }
}

function asPem(field: string, value: unknown): string | Buffer {
  if (typeof value === "string") return value;
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.length);
  throw new TypeError(`${field} must be PEM, as text or a Uint8Array; cert and key go together`);
}
