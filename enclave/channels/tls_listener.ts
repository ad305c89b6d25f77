import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { clearTimeout, setTimeout } from "node:timers";
import { type SecureContext, TLSSocket } from "node:tls";
import type { ConnectionBindings } from "../http/http_env.ts";
import type { ConnectionHandler } from "../serve.ts";
import type { HandshakeOutcome } from "../telemetry/metrics.ts";
import { type RequestLog, RequestRecord } from "../telemetry/request_record.ts";
import { type ClientAuthorities, type ClientCertificate, isValidAt } from "./client_authorities.ts";
import { holdBack } from "../../lib/transport/hold_back.ts";

/** Milliseconds from a connection's start to the end of its handshake, unless others are given. */
const HANDSHAKE_MS = 5000;

/** Handshakes at once, unless another number is given: each that a flood begins costs half a millisecond or more. */
const MAX_HANDSHAKES = 128;

/** Share of all connections that handshakes keep at the limit: as `IdleConnections` has it. */
const HANDSHAKE_SHARES = 16;

/** Limits on handshakes. */
export interface HandshakeLimits {
  /** Milliseconds for a handshake. Default: 5000. */
  readonly handshakeMs?: number | undefined;
  /** Handshakes at once; one more ends the oldest. Default: 128. */
  readonly maxHandshakes?: number | undefined;
}

/** Handler of connections after their handshakes, such as an `HttpListener`. */
export interface SecureHandler {
  /**
   * Serves a connection, which it owns, until either side ends it.
   *
   * @param stream The connection, in the clear
   * @param cid The peer's CID
   * @param bindings Tells who the client is at this moment
   */
  accept(stream: TLSSocket, cid: number, bindings: () => ConnectionBindings): void;
  /** Chooses the connection that is closed when one more comes at the limit. */
  giveWay(): Duplex | undefined;
  /** Ends its connections, within a grace period in milliseconds. */
  close(graceMs: number): Promise<void>;
}

/** Parts of a {@link TlsListener}. */
export interface TlsListenerParts extends RequestLog, HandshakeLimits {
  /** Handler that gets the connections after their handshakes. */
  readonly next: SecureHandler;
  /** Protocols to agree on (ALPN), best first. */
  readonly protocols: readonly string[];
  /** Gives key and certificate; none when the channel is disposed. */
  readonly context: () => SecureContext | undefined;
  /** Authorities that vouch for clients. Default: clients are not asked for certificates. */
  readonly authorities?: ClientAuthorities | undefined;
  /** Clock by which clients' certificates are valid, milliseconds since 1970; undefined while it is not known. */
  readonly now: () => number | undefined;
}

/** Connection whose handshake is not over. */
interface Handshake {
  readonly raw: Duplex;
  readonly cid: number;
  readonly timer: NodeJS.Timeout;
}

/**
 * Takes connections through TLS handshakes, and hands them to a {@link SecureHandler}.
 *
 * A handshake has a deadline of its own. Those that are not over are few: at their limit the oldest one ends, so that
 * clients who begin and then say nothing hold no place for long.
 */
export class TlsListener implements ConnectionHandler {
  readonly #parts: TlsListenerParts;
  /** Oldest first. */
  readonly #handshakes = new Map<TLSSocket, Handshake>();
  /** Connections below those that the next handler has. */
  readonly #raw = new Map<Duplex, Duplex>();
  #isClosing = false;

  /** @param parts Key, trust and limits */
  constructor(parts: TlsListenerParts) {
    this.#parts = parts;
  }

  /**
   * Begins a handshake, and serves the connection until either side ends it.
   *
   * @param raw The connection; owned from now on
   * @param cid The peer's CID
   */
  accept(raw: Duplex, cid: number): void {
    const { context, authorities, protocols } = this.#parts;
    const { handshakeMs = HANDSHAKE_MS, maxHandshakes = MAX_HANDSHAKES } = this.#parts;
    const secureContext = context();
    if (this.#isClosing || secureContext === undefined) return void raw.destroy();
    if (this.#handshakes.size >= maxHandshakes) this.#end(this.#oldest, "displaced");
    const socket = new TLSSocket(raw as Socket, {
      isServer: true,
      secureContext,
      requestCert: authorities !== undefined,
      // A client without one is served, as nobody. What a certificate is worth is decided here.
      rejectUnauthorized: false,
      ALPNProtocols: [...protocols],
    });
    holdBack(socket, raw);
    const timer = setTimeout(() => this.#end(socket, "timeout"), handshakeMs);
    this.#handshakes.set(socket, { raw, cid, timer });
    socket.on("error", (error) => this.#failed(socket, error));
    // A client that ends its direction before that never sends the rest.
    socket.once("end", () => this.#handshakes.has(socket) && this.#end(socket, "gone"));
    socket.once("secure", () => this.#secured(socket));
    socket.once("close", () => this.#closed(socket, raw));
    raw.once("close", () => socket.destroy());
  }

  /** Chooses the connection that is closed when one more comes at the limit: a handshake before what is served. */
  giveWay(): Duplex | undefined {
    const handshake = this.#oldest;
    const isFew = this.#handshakes.size <=
      Math.floor((this.#handshakes.size + this.#raw.size) / HANDSHAKE_SHARES);
    const idle = handshake === undefined || isFew ? this.#parts.next.giveWay() : undefined;
    if (idle !== undefined) return this.#raw.get(idle);
    return handshake === undefined ? undefined : this.#end(handshake, "displaced");
  }

  /**
   * Ends handshakes and idle connections at once, and the others after their answers.
   *
   * @param graceMs Milliseconds after which what is left is cut
   */
  async close(graceMs: number): Promise<void> {
    this.#isClosing = true;
    for (const socket of [...this.#handshakes.keys()]) this.#end(socket, "gone");
    await this.#parts.next.close(graceMs);
  }

  get #oldest(): TLSSocket | undefined {
    const [oldest] = this.#handshakes.keys();
    return oldest;
  }

  #secured(socket: TLSSocket): void {
    const { authorities, next, now } = this.#parts;
    const { raw, cid } = this.#handshakes.get(socket) ?? {};
    if (raw === undefined || cid === undefined) return;
    const der = authorities === undefined ? undefined : socket.getPeerCertificate().raw;
    const certificate = der === undefined ? undefined : authorities?.check(der);
    if (typeof certificate === "string") {
      return void this.#end(socket, "refused", `certificate-${certificate}`);
    }
    if (certificate !== undefined && isExpired(certificate, now())) {
      return void this.#end(socket, "refused", "certificate-expired");
    }
    this.#settle(socket, "ok");
    this.#raw.set(socket, raw);
    next.accept(socket, cid, () => bindingsOf(certificate, now()));
  }

  #failed(socket: TLSSocket, error: Error & { readonly code?: unknown }): void {
    // Names of faults of TLS: fixed texts, none of them the client's. Others are those of a connection that broke.
    const { code } = error;
    if (typeof code !== "string" || !/^ERR_[A-Z0-9_]{1,60}$/.test(code)) {
      return void this.#end(socket, "gone");
    }
    this.#end(socket, "refused", code);
  }

  #closed(socket: TLSSocket, raw: Duplex): void {
    this.#end(socket, "gone");
    this.#raw.delete(socket);
    raw.destroy();
  }

  /** Ends a handshake that is not over, and says so. Returns the connection below it. */
  #end(socket: TLSSocket | undefined, outcome: HandshakeOutcome, reason: string = outcome) {
    if (socket === undefined) return undefined;
    const handshake = this.#settle(socket, outcome);
    if (handshake === undefined) return void socket.destroy();
    if (outcome === "refused" || outcome === "timeout") {
      const record = new RequestRecord("http", handshake.cid);
      record.operation = "Handshake";
      record.finish(this.#parts, "refused", reason);
    }
    socket.destroy();
    handshake.raw.destroy();
    return handshake.raw;
  }

  #settle(socket: TLSSocket, outcome: HandshakeOutcome): Handshake | undefined {
    const handshake = this.#handshakes.get(socket);
    if (handshake === undefined) return undefined;
    this.#handshakes.delete(socket);
    clearTimeout(handshake.timer);
    this.#parts.metrics.countHandshake(outcome);
    return handshake;
  }
}

function bindingsOf(
  certificate: ClientCertificate | undefined,
  nowMs: number | undefined,
): ConnectionBindings {
  // A connection may outlive the certificate: its client is nobody then.
  if (certificate === undefined || isExpired(certificate, nowMs)) return { channel: "tls" };
  if (nowMs === undefined) return { channel: "tls", hasUnjudgedCertificate: true };
  return { channel: "tls", certificate: certificate.der };
}

function isExpired(certificate: ClientCertificate, nowMs: number | undefined): boolean {
  return nowMs !== undefined && !isValidAt(certificate, nowMs);
}
