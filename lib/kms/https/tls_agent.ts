import type { ClientRequest } from "node:http";
import { Agent, type RequestOptions } from "node:https";
import type { Duplex } from "node:stream";
import { connect, createSecureContext, type SecureContext, type TLSSocket } from "node:tls";
import type { Deadline } from "../../core/deadline.ts";
import { handshakeError, openError } from "./connection_errors.ts";
import { checkTrustedCertificates } from "./trusted_certificates.ts";

// What of a socket decides whether the process may exit. Under TLS, Deno does not pass it on to a stream.
interface Referable {
  ref?(): unknown;
  unref?(): unknown;
}

/** Opens the stream that TLS runs over. Whoever called destroys it. */
export type OpenTransport = (deadline: Deadline) => Promise<Duplex>;

/** Address of KMS, and trust in its certificate. */
export interface TlsAgentOptions {
  /** Opens the stream below TLS. */
  readonly open: OpenTransport;
  /** The name that KMS's certificate must have. */
  readonly hostName: string;
  /** Certificate authorities in PEM, instead of the runtime's own. */
  readonly trustedCertificates?: string | readonly string[] | undefined;
  /** Most idle connections that are kept. */
  readonly maxIdle: number;
  /** Milliseconds that a connection may be idle. */
  readonly maxIdleMs: number;
}

/** The one call that a connection is opened for. */
export interface TlsCall {
  /** When to give up. */
  readonly deadline: Deadline;
  /** Aborts with the deadline, and when the agent's owner is disposed. */
  readonly signal: AbortSignal;
}

/** Options of a request through the agent. */
export type TlsRequestOptions = RequestOptions & { readonly call: TlsCall };

/**
 * Keeps TLS connections to KMS, over any stream. Certificates are always checked; nothing turns that off.
 * Idle connections do not keep the process alive.
 */
export class TlsAgent extends Agent {
  readonly #open: OpenTransport;
  readonly #hostName: string;
  readonly #context: SecureContext;
  readonly #transports = new WeakMap<Duplex, Duplex & Referable>();
  readonly #reusing = new WeakSet<ClientRequest>();

  /**
   * @param options Address and trust
   * @throws {TypeError} If the certificates cannot be read
   */
  constructor({ open, hostName, trustedCertificates, maxIdle, maxIdleMs }: TlsAgentOptions) {
    super({ keepAlive: true, maxFreeSockets: maxIdle, timeout: maxIdleMs });
    this.#open = open;
    this.#hostName = hostName;
    const ca = trustedCertificates === undefined ? undefined : checkTrustedCertificates(trustedCertificates);
    this.#context = createSecureContext({
      minVersion: "TLSv1.2",
      ...(ca === undefined ? {} : { ca: [...ca] }),
    });
  }

  /** All connections lead to the same place. */
  override getName(): string {
    return "kms";
  }

  /** Called by node:https when no connection is idle. */
  override createConnection(
    { call }: RequestOptions & { readonly call?: TlsCall },
    callback?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    const settle = callback as ((error: Error | null, stream?: Duplex) => void) | undefined;
    if (call === undefined || settle === undefined) {
      throw new TypeError("Cannot connect: no call to connect for");
    }
    this.#connect(call).then(
      (socket) => settle(null, socket),
      // The reason of an abort may be anything; the call reports it itself.
      (error) => settle(error instanceof Error ? error : new Error("aborted")),
    );
  }

  /** Called by node:https with a connection that is idle from now on. */
  override keepSocketAlive(socket: Duplex): void {
    this.#transports.get(socket)?.unref?.();
    // Not void at run time: false would close the connection.
    return super.keepSocketAlive(socket);
  }

  /** Called by node:https with a connection that was idle until now. */
  override reuseSocket(socket: Duplex, request: ClientRequest): void {
    this.#transports.get(socket)?.ref?.();
    super.reuseSocket(socket, request);
    this.#reusing.add(request);
    // By this, Deno would send the request once more when the socket closes, even when that was our own doing
    // because the time was up (https://github.com/denoland/deno/issues/36786).
    request.reusedSocket = false;
  }

  /**
   * @param request A request through this agent
   * @returns Whether it went over a connection that was kept from an earlier one
   */
  isReusing(request: ClientRequest): boolean {
    return this.#reusing.has(request);
  }

  /** Closes the connections that nobody uses. */
  destroyIdle(): void {
    for (const socket of Object.values(this.freeSockets).flat()) socket?.destroy();
  }

  async #openRaw(deadline: Deadline, signal: AbortSignal): Promise<Duplex> {
    deadline.stage = "connect";
    try {
      return await unlessAborted(this.#open(deadline), signal, (late) => late.destroy());
    } catch (error) {
      throw signal.aborted ? signal.reason : openError(error);
    }
  }

  async #connect({ deadline, signal }: TlsCall): Promise<TLSSocket> {
    const raw = await this.#openRaw(deadline, signal);
    raw.on("error", ignore);
    const socket = connect({
      socket: raw,
      servername: this.#hostName,
      secureContext: this.#context,
      rejectUnauthorized: true,
    });
    socket.once("close", () => raw.destroy());
    this.#transports.set(socket, raw);
    deadline.stage = "tls";
    try {
      await unlessAborted(secured(socket), signal);
    } catch (error) {
      socket.destroy();
      raw.destroy();
      throw signal.aborted ? signal.reason : handshakeError(error, this.#hostName);
    }
    deadline.stage = "kms";
    return socket;
  }
}

/**
 * Settles as `work` does, unless the signal aborts first.
 *
 * @param work Work to wait for; it goes on after an abort
 * @param signal Its reason becomes the rejection
 * @param release Releases a result that comes too late
 */
export function unlessAborted<T>(
  work: Promise<T>,
  signal: AbortSignal,
  release: (late: T) => void = ignore,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      reject(signal.reason);
      work.then(release, ignore);
    };
    const settle = <V>(settled: (value: V) => void) => (value: V) => {
      if (signal.aborted) return;
      signal.removeEventListener("abort", abort);
      settled(value);
    };
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    work.then(settle(resolve), settle(reject));
  });
}

function secured(socket: TLSSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("secureConnect", resolve);
    socket.once("close", () => reject(new Error("closed")));
    // Stays for good: an error between two owners of the socket must not end the process.
    socket.on("error", reject);
  });
}

function ignore(): void {}
