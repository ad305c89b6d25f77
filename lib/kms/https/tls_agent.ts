import type { X509Certificate } from "node:crypto";
import type { RequestOptions } from "node:https";
import type { Duplex } from "node:stream";
import { connect, createSecureContext, type SecureContext, type TLSSocket } from "node:tls";
import type { Deadline } from "../../core/deadline.ts";
import { holdBack } from "../../transport/hold_back.ts";
import { StreamAgent } from "../../transport/stream_agent.ts";
import { untilSecure } from "../../transport/tls_handshake.ts";
import { ACCEPTS_FORGED_CHAINS, checkPeerChain, readRoots } from "./peer_chain.ts";
import { handshakeError, openError } from "./connection_errors.ts";
import { ConnectingAhead } from "./connecting_ahead.ts";
import { tellStage, type TlsCall, unlessAborted } from "./tls_call.ts";
import { checkTrustedCertificates } from "./check_trusted_certificates.ts";

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
  /** Name of the service, for messages. Default: KMS. */
  readonly peer?: string | undefined;
}

/** Options of a request through the agent. */
export type TlsRequestOptions = RequestOptions & { readonly call: TlsCall };

/**
 * Keeps TLS connections to KMS, over any stream. Certificates are always checked; nothing turns that off.
 * Idle connections do not keep the process alive.
 */
export class TlsAgent extends StreamAgent {
  readonly #open: OpenTransport;
  readonly #hostName: string;
  readonly #peer: string | undefined;
  readonly #context: SecureContext;
  readonly #trusted: readonly string[] | undefined;
  #roots: readonly X509Certificate[] | undefined;
  #ahead: ConnectingAhead | undefined;

  /**
   * @param options Address and trust
   * @throws {TypeError} If the certificates cannot be read
   */
  constructor({ open, hostName, trustedCertificates, maxIdle, maxIdleMs, peer }: TlsAgentOptions) {
    super({ keepAlive: true, maxFreeSockets: maxIdle, timeout: maxIdleMs });
    this.#open = open;
    this.#hostName = hostName;
    this.#peer = peer;
    const ca = trustedCertificates === undefined ? undefined : checkTrustedCertificates(trustedCertificates);
    this.#trusted = ca;
    this.#context = createSecureContext({
      minVersion: "TLSv1.2",
      ...(ca === undefined ? {} : { ca: [...ca] }),
    });
  }

  /** All connections lead to the same place. */
  override getName(): string {
    return "kms";
  }

  /** Begins a connection for the next call that needs one; see {@link ConnectingAhead}. */
  connectAhead(): void {
    this.#ahead ??= new ConnectingAhead((call) => this.#connect(call));
  }

  /** Closes the connections, one that is made ahead as well. */
  override destroy(): void {
    this.#ahead?.[Symbol.dispose]();
    this.#ahead = undefined;
    super.destroy();
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
    this.#takeOrConnect(call).then(
      (socket) => settle(null, socket),
      // The reason of an abort may be anything; the call reports it itself.
      (error) => settle(error instanceof Error ? error : new Error("aborted")),
    );
  }

  async #takeOrConnect(call: TlsCall): Promise<TLSSocket> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    if (ahead === undefined || ahead.isOver) return await this.#connect(call);
    const socket = await ahead.take(call);
    return socket.destroyed ? await this.#connect(call) : socket;
  }

  async #openRaw(call: TlsCall): Promise<Duplex> {
    const { deadline, signal } = call;
    tellStage(call, "connect");
    try {
      return await unlessAborted(this.#open(deadline), signal, (late) => late.destroy());
    } catch (error) {
      throw signal.aborted ? signal.reason : openError(error);
    }
  }

  async #connect(call: TlsCall): Promise<TLSSocket> {
    const { signal } = call;
    const raw = await this.#openRaw(call);
    raw.on("error", ignore);
    const socket = connect({
      socket: raw,
      servername: this.#hostName,
      secureContext: this.#context,
      rejectUnauthorized: true,
    });
    holdBack(socket, raw);
    this.adopt(socket, raw);
    tellStage(call, "tls");
    try {
      await unlessAborted(untilSecure(socket), signal);
      if (ACCEPTS_FORGED_CHAINS) checkPeerChain(socket, this.#roots ??= readRoots(this.#trusted));
    } catch (error) {
      socket.destroy();
      raw.destroy();
      throw signal.aborted ? signal.reason : handshakeError(error, this.#hostName, this.#peer);
    }
    tellStage(call, "kms");
    return socket;
  }
}

function ignore(): void {}
