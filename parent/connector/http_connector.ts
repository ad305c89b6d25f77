import { CALL_FIELDS, type CallOptions, checkCall } from "../../lib/core/call_options.ts";
import { checkFields, checkInteger } from "../../lib/core/checks.ts";
import { Deadline, MAX_TIMEOUT_MS } from "../../lib/core/deadline.ts";
import type { Endpoint } from "../../lib/core/endpoint.ts";
import { ConnectionError, TimeoutError } from "../../lib/core/errors.ts";
import { ConnectionPool } from "../../lib/transport/connection_pool.ts";
import type { ConnectionStream } from "../../lib/transport/connection.ts";
import { type Fetch, fetchThrough, type TakeOptions } from "../../lib/transport/create_fetch.ts";
import type { HttpConnection } from "../../lib/transport/exchange.ts";
import { openTransport } from "../../lib/transport/open_transport.ts";
import { askAttestation } from "./ask_attestation.ts";
import type {
  ConnectorAnswer,
  ConnectorAttestation,
  ConnectorAttestationOptions,
  ConnectorOptions,
  ConnectorRequest,
  EnclaveConnector,
  WaitOptions,
} from "./enclave_connector.ts";
import { checkRequest, readAnswer } from "./request.ts";
import { untilReady } from "./until_ready.ts";

/** Names of all {@link ConnectorOptions}. */
export const CONNECTOR_FIELDS: readonly string[] = [
  "timeoutMs",
  "reconnectMs",
  "maxConnections",
  "maxIdleMs",
  "maxAnswerBytes",
];

/** Connector over any endpoint. */
export class HttpConnector implements EnclaveConnector {
  /** See {@link EnclaveConnector.endpoint}. */
  readonly endpoint: Endpoint;
  /** See {@link EnclaveConnector.fetch}. */
  readonly fetch: Fetch;
  readonly #limits: ReturnType<typeof checkLimits>;
  readonly #pool: ConnectionPool;
  readonly #name: string;

  /** @internal */
  constructor(endpoint: Endpoint, options: ConnectorOptions) {
    this.endpoint = endpoint;
    this.#name = nameOf(endpoint);
    this.#limits = checkLimits(options);
    this.#pool = new ConnectionPool((deadline) => this.#open(deadline), this.#limits);
    this.fetch = this.#fetchOver((call) => this.#pool.take(call));
  }

  /** See {@link EnclaveConnector.connectionCount}. */
  get connectionCount(): number {
    return this.#pool.openCount;
  }

  /** See {@link EnclaveConnector.sendRequest}. */
  async sendRequest(request: ConnectorRequest, options: CallOptions = {}): Promise<ConnectorAnswer> {
    const call = checkCall(
      checkFields("request options", options, CALL_FIELDS),
      this.#limits.timeoutMs,
    );
    const { path, init, isRepeatable } = checkRequest(request);
    using deadline = new Deadline("ask the enclave", call.timeoutMs, call.signal);
    const fetch = this.#fetchOver(async (taking) => {
      deadline.stage = "enclave-connect";
      const connection = await this.#pool.take(taking);
      deadline.stage = "enclave";
      return connection;
    });
    const send = async () => {
      const answer = await fetch(`http://enclave${path}`, { ...init, signal: deadline.signal });
      return await readAnswer(answer, this.#limits.maxAnswerBytes);
    };
    try {
      return await send();
    } catch (error) {
      deadline.throwIfPassed();
      if (!isRepeatable || !(error instanceof ConnectionError)) throw error;
      return await send();
    }
  }

  /** See {@link EnclaveConnector.waitForEnclave}. */
  async waitForEnclave(options: WaitOptions = {}): Promise<void> {
    await untilReady((timeoutMs, signal) => this.sendRequest({ path: "/readyz" }, { timeoutMs, signal }), {
      options,
      name: this.#name,
    });
  }

  /** See {@link EnclaveConnector.getAttestation}. */
  async getAttestation(options: ConnectorAttestationOptions = {}): Promise<ConnectorAttestation> {
    return await askAttestation((path, call) => this.sendRequest({ path }, call), options);
  }

  /** See {@link EnclaveConnector.close}. */
  async close(options: { readonly graceMs?: number | undefined } = {}): Promise<void> {
    const { graceMs } = checkFields("close options", options, ["graceMs"]);
    const closed = this.#pool.close();
    const range = { min: 0, max: MAX_TIMEOUT_MS, default: DEFAULT_GRACE_MS };
    const timer = setTimeout(() => this.#pool.destroy(), checkInteger("graceMs", graceMs, range));
    await closed;
    clearTimeout(timer);
  }

  /** Takes no more requests, and breaks off those that run. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#pool.destroy();
    await this.#pool.close();
  }

  #fetchOver(take: (call: TakeOptions) => Promise<HttpConnection>): Fetch {
    const { timeoutMs } = this.#limits;
    const limits = { connectTimeoutMs: timeoutMs, idleTimeoutMs: Math.max(10, timeoutMs) };
    return fetchThrough({ protocol: "http:", take: (_url, call) => take(call) }, limits);
  }

  async #open(deadline: Deadline): Promise<ConnectionStream> {
    try {
      return await openTransport(this.endpoint, deadline);
    } catch (cause) {
      deadline.throwIfPassed();
      if (!(cause instanceof ConnectionError || cause instanceof TimeoutError)) throw cause;
      throw new ConnectionError(`Cannot connect to the enclave: nothing answers at ${this.#name}`, {
        hint: HINTS[this.endpoint.transport],
        cause,
      });
    }
  }
}

const DEFAULT_GRACE_MS = 10_000;

const HINTS: Readonly<Record<Endpoint["transport"], string>> = {
  vsock:
    "Is the enclave running under that CID (nitro-cli describe-enclaves), and does its application listen on that port?",
  tcp: "Is the application running with ENV_SETUP=SIM, on that host and port?",
  unix: "Is the application running, and does it listen on that socket?",
};

function nameOf(endpoint: Endpoint): string {
  switch (endpoint.transport) {
    case "vsock":
      return `vsock CID ${endpoint.cid}, port ${endpoint.port}`;
    case "tcp":
      return `${endpoint.host}:${endpoint.port}`;
    case "unix":
      return "the unix socket";
  }
}

function checkLimits(options: ConnectorOptions) {
  const integer = (name: keyof ConnectorOptions, min: number, max: number, standard: number) =>
    checkInteger(name, options[name], { min, max, default: standard });
  return {
    timeoutMs: integer("timeoutMs", 1, MAX_TIMEOUT_MS, 30_000),
    reconnectMs: integer("reconnectMs", 0, MAX_TIMEOUT_MS, 2000),
    maxConnections: integer("maxConnections", 1, 4096, 64),
    maxIdleMs: integer("maxIdleMs", 1, MAX_TIMEOUT_MS, 30_000),
    maxAnswerBytes: integer("maxAnswerBytes", 1, MAX_TIMEOUT_MS, 1_048_576),
  };
}
