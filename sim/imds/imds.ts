import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { checkFields, checkInteger } from "../../lib/core/checks.ts";
import { choosePort } from "../free_port.ts";
import { checkFault, FaultQueue, type FaultTimes } from "../fault_queue.ts";
import { makeCredentials, type SimulatedCredentials } from "../kms/kms_credentials.ts";
import {
  encodeAnswer,
  type HttpAnswer,
  HttpError,
  HttpReader,
  type HttpRequest,
} from "../tls/http_message.ts";
import { IMDS_FAULTS, type ImdsFault } from "./imds_faults.ts";
import { ImdsService, type Instance, pathOf } from "./imds_service.ts";

/** Instance and behaviour of a {@link SimulatedImds}. */
export interface SimulatedImdsOptions {
  /** Name of the role; null for an instance without one. Default: `enclave-parent`. */
  readonly role?: string | null | undefined;
  /** Region of the instance. Default: `eu-central-1`. */
  readonly region?: string | undefined;
  /** Makes credentials, at the start and for each rotation. Default: such as no KMS knows. */
  readonly issueCredentials?: (() => SimulatedCredentials) | undefined;
  /** Lifetime of credentials, in milliseconds. Default: six hours. */
  readonly lifetimeMs?: number | undefined;
  /** Whether version 1 is answered, too: requests without a token. Default: false. */
  readonly isVersionOneAllowed?: boolean | undefined;
  /** The clock, milliseconds since 1970. Default: `Date.now`. */
  readonly now?: (() => number) | undefined;
  /** TCP port of 127.0.0.1. Default: a free one. */
  readonly port?: number | undefined;
}

/** Request that the service read, without its token. */
export interface LoggedImdsRequest {
  /** Method, such as `GET`. */
  readonly method: string;
  /** Target, such as `/latest/api/token`. */
  readonly target: string;
  /** Whether it had a token, valid or not. */
  readonly hasToken: boolean;
}

const OPTIONS = ["role", "region", "issueCredentials", "lifetimeMs", "isVersionOneAllowed", "now", "port"];

const SIX_HOURS_MS = 21_600_000;

/**
 * Starts a metadata service on 127.0.0.1.
 *
 * @param options Instance and behaviour
 * @returns The service. Dispose it with `await using`
 * @throws {TypeError} When an option is unknown or of a wrong type
 * @example
 * ```ts
 * import { startImds } from "enclave-kms/sim";
 *
 * await using imds = await startImds({ role: "parent" });
 * const put = { method: "PUT", headers: { "x-aws-ec2-metadata-token-ttl-seconds": "60" } };
 * const token = await (await fetch(`${imds.endpoint}/latest/api/token`, put)).text();
 * const headers = { "x-aws-ec2-metadata-token": token };
 * const path = "/latest/meta-data/iam/security-credentials/";
 * await (await fetch(`${imds.endpoint}${path}`, { headers })).text(); // "parent"
 * ```
 */
export async function startImds(options: SimulatedImdsOptions = {}): Promise<SimulatedImds> {
  const imds = new SimulatedImds(options);
  await imds.listen();
  return imds;
}

/**
 * The metadata service of an instance (IMDSv2): tokens with a time to live, the role and its credentials, the region
 * and the identity document. It answers 401 without a valid token, 403 to what was forwarded, 400 to a bad time to
 * live, 404 without a role, and fails on demand.
 *
 * @see https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
 */
export class SimulatedImds implements AsyncDisposable {
  readonly #service: ImdsService;
  readonly #instance: Instance;
  readonly #issue: () => SimulatedCredentials;
  readonly #lifetimeMs: number;
  readonly #now: () => number;
  readonly #faults = new FaultQueue<ImdsFault>();
  readonly #requests: LoggedImdsRequest[] = [];
  readonly #sockets = new Set<Socket>();
  #port: number;
  #server: Server | undefined;

  /**
   * Sets the service up; it listens nowhere yet.
   *
   * @param options Instance and behaviour
   */
  constructor(options: SimulatedImdsOptions) {
    const { role = "enclave-parent", region = "eu-central-1", now = Date.now, ...others } = checkFields(
      "options of startImds",
      options,
      OPTIONS,
    );
    this.#now = now;
    this.#issue = others.issueCredentials ?? makeCredentials;
    this.#lifetimeMs = checkLifetime(others.lifetimeMs, SIX_HOURS_MS);
    this.#port = checkInteger("port", others.port, { min: 0, max: 65_535, default: 0 });
    this.#instance = {
      role: role ?? undefined,
      region,
      isVersionOneAllowed: others.isVersionOneAllowed ?? false,
      current: this.#make(),
    };
    this.#service = new ImdsService(this.#instance, now);
  }

  /** URL of the service, such as `http://127.0.0.1:41234`. */
  get endpoint(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Credentials of the role at present. */
  get credentials(): SimulatedCredentials {
    return this.#instance.current.credentials;
  }

  /** The last requests, in order; the oldest go once there are 1000. */
  get requests(): readonly LoggedImdsRequest[] {
    return this.#requests;
  }

  /** Name of the role; null when the instance has none. */
  get role(): string | null {
    return this.#instance.role ?? null;
  }

  set role(name: string | null) {
    this.#instance.role = name ?? undefined;
  }

  /**
   * Makes new credentials, as AWS does well before the old ones expire.
   *
   * @param options Lifetime of the new ones, in milliseconds. Default: that of all others
   * @returns The new credentials
   * @throws {RangeError} When the lifetime is no whole number above 0
   */
  rotate(options: { readonly lifetimeMs?: number | undefined } = {}): SimulatedCredentials {
    const { lifetimeMs } = checkFields("options of rotate", options, ["lifetimeMs"]);
    this.#instance.current = this.#make(checkLifetime(lifetimeMs, this.#lifetimeMs));
    return this.credentials;
  }

  /** Forgets all tokens: requests with one are answered 401 until there is a new one. */
  forgetTokens(): void {
    this.#service.forgetTokens();
  }

  /**
   * Injects a fault.
   *
   * @param fault The fault
   * @param options Number of requests that it hits
   * @returns Ends the fault when disposed
   * @throws {TypeError} When there is no such fault
   */
  injectFault(fault: ImdsFault, options: FaultTimes = {}): Disposable {
    const checked = checkFault(fault, IMDS_FAULTS, { name: "IMDS_FAULTS", optional: ["on"] });
    return this.#faults.add(checked, options);
  }

  /** Ends all faults. */
  clearFaults(): void {
    this.#faults.clear();
  }

  /** Listens, on the port that it had before if it had one. */
  async listen(): Promise<void> {
    if (this.#port === 0) this.#port = await choosePort();
    const server = createServer((socket) => this.#accept(socket));
    server.listen({ host: "127.0.0.1", port: this.#port });
    await once(server, "listening");
    this.#server = server;
  }

  /** Stops listening and breaks all connections; `listen()` begins anew. */
  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    for (const socket of this.#sockets) socket.destroy();
    if (server !== undefined) await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  /** Closes it. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #make(lifetimeMs = this.#lifetimeMs): Instance["current"] {
    const madeAtMs = this.#now();
    return { credentials: this.#issue(), madeAtMs, expiresAtMs: madeAtMs + lifetimeMs };
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    const reader = new HttpReader();
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => {});
    socket.on("data", (chunk: Uint8Array) => {
      try {
        for (const request of reader.read(chunk)) {
          this.#deliver(request, socket).catch(() => socket.destroy());
        }
      } catch (error) {
        const status = error instanceof HttpError ? error.status : 500;
        socket.end(encodeAnswer({ status, headers: {}, body: new Uint8Array() }, false));
      }
    });
  }

  async #deliver(request: HttpRequest, socket: Socket): Promise<void> {
    this.#log(request);
    const path = pathOf(request);
    const fault = this.#faults.take(({ on }) => on === undefined || on === path);
    if (fault?.kind === "silence") return;
    const keepsAlive = fault === undefined && request.headers.get("connection")?.toLowerCase() !== "close";
    await send(socket, bytesOf(this.#service.answer(request, fault), fault, keepsAlive), fault);
    if (!keepsAlive) socket.end();
  }

  #log({ method, target, headers }: HttpRequest): void {
    this.#requests.push({ method, target, hasToken: headers.has("x-aws-ec2-metadata-token") });
    if (this.#requests.length > 1000) this.#requests.shift();
  }
}

function checkLifetime(lifetimeMs: unknown, standard: number): number {
  return checkInteger("lifetimeMs", lifetimeMs, { min: 1, max: 2 ** 40, default: standard });
}

function bytesOf(answer: HttpAnswer, fault: ImdsFault | undefined, keepsAlive: boolean): Uint8Array {
  switch (fault?.kind) {
    case "notHttp":
      return new TextEncoder().encode("SSH-2.0-OpenSSH_9.2\r\n\r\n");
    case "oversized":
      return encodeAnswer({ ...answer, status: 200, body: new Uint8Array(fault.bytes).fill(0x20) }, false);
    case "endless":
      return new TextEncoder().encode(`HTTP/1.1 200 OK\r\n\r\n${"x".repeat(fault.bytes)}`);
    default:
      return encodeAnswer(answer, keepsAlive);
  }
}

async function send(socket: Socket, bytes: Uint8Array, fault: ImdsFault | undefined): Promise<void> {
  switch (fault?.kind) {
    case "latency":
      await pause(fault.ms);
      break;
    case "drip":
      for (const byte of bytes) {
        if (socket.destroyed) return;
        socket.write(Uint8Array.of(byte));
        await pause(fault.ms);
      }
      return;
    case "truncate":
      return void socket.end(bytes.subarray(0, fault.byte));
    case "reset":
      socket.write(bytes.subarray(0, fault.byte));
      // A reset overtakes what is still on its way: let the bytes before it arrive.
      await pause(20);
      return void (socket.writableEnded ? socket.destroy() : socket.resetAndDestroy());
  }
  if (!socket.destroyed) socket.write(bytes);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
