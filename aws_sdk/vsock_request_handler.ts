import { setImmediate } from "node:timers";
import { checkFields, checkInteger } from "../lib/core/checks.ts";
import { MAX_TIMEOUT_MS } from "../lib/core/deadline.ts";
import { checkEndpoint, type Endpoint } from "../lib/core/endpoint.ts";
import { Slots } from "../lib/core/slots.ts";
import { checkRuntimeTrust, checkTrustedCertificates } from "../lib/kms/https/check_trusted_certificates.ts";
import { TlsAgent } from "../lib/kms/https/tls_agent.ts";
import { openTransport } from "../lib/transport/open_transport.ts";
import { readTarget } from "./read_target.ts";
import { readBody } from "./request_body.ts";
import type { SdkCallOptions, SdkRequest, SdkResponse } from "./sdk_types.ts";
import { type ExchangeLimits, type Service, ServiceExchange } from "./service_exchange.ts";

/** Way to the services, and limits, of a {@link vsockRequestHandler}. One of `relay` and `endpoint` must be given. */
export interface VsockRequestHandlerOptions {
  /** Address of a `TlsRelay` of the parent, which leads to every service on its allow-list, port 443. */
  readonly relay?: Endpoint | undefined;
  /** Address of a proxy that leads to one service, such as AWS's vsock-proxy. */
  readonly endpoint?: Endpoint | undefined;
  /** Authorities that may vouch for the services, PEM; no others count then. Default: the runtime's own. */
  readonly trustedCertificates?: string | readonly string[] | undefined;
  /** Milliseconds to connect, 1 to 2147483647. Default: 10000. */
  readonly connectTimeoutMs?: number | undefined;
  /**
   * Milliseconds without progress, 10 to 2147483647; then a request fails: when no part of a body is sent or read, and
   * no head of an answer has come. Default: 60000.
   */
  readonly idleTimeoutMs?: number | undefined;
  /** Most connections to each service, and so requests at once: the others wait in line; 1 to 1024. Default: 50. */
  readonly maxConnections?: number | undefined;
  /** Milliseconds for which an idle connection is kept, 1 to 2147483647. Default: 15000. */
  readonly connectionMaxIdleMs?: number | undefined;
  /** Largest headers of an answer together, in bytes, 1024 to 1048576; at most 100 lines. Default: 16384. */
  readonly maxHeaderBytes?: number | undefined;
}

/**
 * Makes a request handler for AWS SDK v3 clients in an enclave: `new S3Client({ requestHandler })`. Requests reach
 * their service through the parent, and TLS ends in this process: the parent carries bytes that it cannot read.
 *
 * Certificates are always checked, for the host name of each request. Bodies are streams both ways. Variables for
 * proxies, such as `HTTPS_PROXY`, are not read. Redirects are not followed, and `Expect: 100-continue` is not sent.
 * Failures of a connection and of time are ones that the SDK's retry strategies try again.
 *
 * Not guaranteed: that the parent passes anything on, or in time. It sees the names of the services, and the sizes and
 * times of what it carries.
 *
 * @param options Way to the services, and limits
 * @returns The handler, for any number of clients
 * @throws {TypeError} When an option is unknown or of a wrong type, or not one of `relay` and `endpoint` is given
 * @throws {RangeError} When a number is out of range
 * @throws {CertificateError} When there are no authorities to trust services by
 * @example
 * ```ts
 * import { GenerateMacCommand, KMSClient } from "@aws-sdk/client-kms";
 * import { vsockRequestHandler } from "enclave-kms/aws";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * await using enclave = await startSimulator(); // in an enclave: { transport: "vsock", cid: 3, port: 8443 } as relay
 * const { region, credentials, endpoint, trustedCertificates } = enclave.clientOptions;
 * const { keyId: KeyId } = await enclave.createKey({ spec: "HMAC_256" });
 *
 * const requestHandler = vsockRequestHandler({ endpoint, trustedCertificates });
 * const kms = new KMSClient({ region, credentials, requestHandler });
 * const Message = new TextEncoder().encode("hello");
 * const { Mac } = await kms.send(new GenerateMacCommand({ KeyId, Message, MacAlgorithm: "HMAC_SHA_256" }));
 * Mac?.length; // 32
 * kms.destroy();
 * ```
 */
export function vsockRequestHandler(options: VsockRequestHandlerOptions): VsockRequestHandler {
  return new VsockRequestHandler(checkOptions(options));
}

/** Services whose connections are kept when no request runs. */
const MAX_IDLE_SERVICES = 64;

/** Connections to one service, and its requests. */
interface UsedService extends Service {
  runningCount: number;
}

/** Request handler for AWS SDK v3 clients; see {@link vsockRequestHandler}. */
export class VsockRequestHandler implements Disposable {
  /** Protocol, for the SDK. */
  readonly metadata: { readonly handlerProtocol: string } = { handlerProtocol: "http/1.1" };
  readonly #options: CheckedOptions;
  readonly #services = new Map<string, UsedService>();

  /** @internal */
  constructor(options: CheckedOptions) {
    this.#options = options;
  }

  /**
   * Sends one request, once. Called by the SDK.
   *
   * @param request The request
   * @param options Signal of the caller, and milliseconds until the head of the answer
   * @returns The answer. A body that is neither read nor destroyed holds its connection for `idleTimeoutMs`
   * @throws {TypeError} When it cannot be sent: without TLS, to an IP address, or malformed
   * @throws {ConnectionError} When the service cannot be reached, or the connection breaks
   * @throws {CertificateError} When the service's certificate is not accepted
   * @throws {ProtocolError} When the answer is not HTTP, has too large headers, or no length
   * @throws {TimeoutError} When a time is up
   */
  async handle(
    request: SdkRequest,
    options: SdkCallOptions = {},
  ): Promise<{ response: SdkResponse }> {
    const target = readTarget(request, this.#options.isRelayed);
    const body = readBody(request.body);
    const service = this.#serviceOf(target.hostName);
    service.runningCount++;
    const onEnd = () => {
      service.runningCount--;
      // Its connection is among the idle ones by then.
      if (this.#services.get(target.hostName) !== service) setImmediate(() => service.agent.destroyIdle());
    };
    const exchange = new ServiceExchange(service, target, this.#options.limits, onEnd);
    return { response: await exchange.run(body, options) };
  }

  /** Called by the SDK for its own options, which are not heeded: those of this handler are fixed. */
  updateHttpClientConfig(): void {}

  /** Returns no options, to the SDK. */
  httpHandlerConfigs(): Record<never, never> {
    return {};
  }

  /**
   * Closes the idle connections. Requests that run go on, for other clients may have this handler, too; later ones
   * make new connections. Called by the SDK when a client is destroyed.
   */
  destroy(): void {
    for (const { agent } of this.#services.values()) agent.destroyIdle();
    this.#services.clear();
  }

  /** The same as {@link VsockRequestHandler.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  /** Finds the connections to a service, and puts it last in the order of those that are let go of. */
  #serviceOf(hostName: string): UsedService {
    const service = this.#services.get(hostName) ?? this.#open(hostName);
    this.#services.delete(hostName);
    this.#services.set(hostName, service);
    if (this.#services.size > MAX_IDLE_SERVICES) this.#letGo();
    return service;
  }

  #open(hostName: string): UsedService {
    const { endpoint, trustedCertificates, maxConnections, connectionMaxIdleMs } = this.#options;
    const agent = new TlsAgent({
      open: (deadline) => openTransport(endpoint, deadline, { name: hostName, hint: UNREACHABLE }),
      hostName,
      trustedCertificates,
      maxIdle: maxConnections,
      maxIdleMs: connectionMaxIdleMs,
      peer: hostName,
    });
    return { agent, slots: new Slots(maxConnections), runningCount: 0 };
  }

  #letGo(): void {
    for (const [hostName, { agent, runningCount }] of this.#services) {
      if (runningCount > 0) continue;
      agent.destroyIdle();
      this.#services.delete(hostName);
      return;
    }
  }
}

const UNREACHABLE = "Does the relay or the proxy on the parent listen there?";

interface CheckedOptions {
  readonly isRelayed: boolean;
  readonly endpoint: Endpoint;
  readonly trustedCertificates: readonly string[] | undefined;
  readonly maxConnections: number;
  readonly connectionMaxIdleMs: number;
  readonly limits: ExchangeLimits;
}

const FIELDS = [
  "relay",
  "endpoint",
  "trustedCertificates",
  "connectTimeoutMs",
  "idleTimeoutMs",
  "maxConnections",
  "connectionMaxIdleMs",
  "maxHeaderBytes",
];

function checkOptions(given: VsockRequestHandlerOptions): CheckedOptions {
  const options = checkFields("options of vsockRequestHandler", given, FIELDS);
  const { relay, endpoint, trustedCertificates } = options;
  if ((relay === undefined) === (endpoint === undefined)) {
    throw new TypeError("Either relay or endpoint must be given, and not both");
  }
  if (trustedCertificates === undefined) checkRuntimeTrust();
  const integer = (name: keyof VsockRequestHandlerOptions, min: number, max: number, fallback: number) =>
    checkInteger(name, options[name], { min, max, default: fallback });
  return {
    isRelayed: relay !== undefined,
    endpoint: checkEndpoint(relay ?? endpoint),
    trustedCertificates: trustedCertificates === undefined
      ? undefined
      : checkTrustedCertificates(trustedCertificates),
    maxConnections: integer("maxConnections", 1, 1024, 50),
    connectionMaxIdleMs: integer("connectionMaxIdleMs", 1, MAX_TIMEOUT_MS, 15_000),
    limits: {
      connectTimeoutMs: integer("connectTimeoutMs", 1, MAX_TIMEOUT_MS, 10_000),
      idleTimeoutMs: integer("idleTimeoutMs", 10, MAX_TIMEOUT_MS, 60_000),
      maxHeaderBytes: integer("maxHeaderBytes", 1024, 1 << 20, 16_384),
    },
  };
}
