import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import type { BridgeEntrance } from "../../lib/transport/bridge.ts";
import type { Connection, ConnectionStream } from "../../lib/transport/connection.ts";
import type { ConnectionBindings } from "../http/http_env.ts";
import { type RequestLog, RequestRecord } from "../telemetry/request_record.ts";
import type { TlsChannel } from "./tls_channel.ts";
import type { SecureHandler, TlsListener } from "./tls_listener.ts";

/** Milliseconds between two looks at the certificates of open connections, unless others are given. */
const LOOK_MS = 30_000;

/** Parts of a {@link TlsEntrance}. */
export interface TlsEntranceParts {
  /** TLS of this boot. */
  readonly tls: TlsChannel;
  /** Destination of what is refused. */
  readonly log: RequestLog;
  /** Whether clients without a certificate that an authority vouches for are turned away. */
  readonly requiresCertificate: boolean;
  /** CID that callers over unix sockets are taken for, which have none. */
  readonly developmentCid: number;
  /** Milliseconds between two looks whether the certificates of open connections are still valid. Default: 30000. */
  readonly lookMs?: number | undefined;
}

/** Joins a stream to the server behind the ingress. */
type Carry = (stream: ConnectionStream) => void;

/**
 * Entrance of an ingress at which TLS of this boot ends: handshakes have the limits of every TLS listener, and what
 * comes after them is carried in the clear to a server on 127.0.0.1, which need not know of TLS.
 *
 * The server is not told who calls, so that is decided here: where certificates are required, a connection without a
 * valid one is closed, and one whose certificate expires meanwhile is broken off within half a minute.
 */
export class TlsEntrance implements BridgeEntrance {
  /** Chooses the connection that is closed when one more comes at the limit: a handshake that is not over. */
  readonly giveWay: () => Duplex | undefined;
  readonly #parts: TlsEntranceParts;
  readonly #listener: TlsListener;
  /** Open connections whose clients must have a certificate. */
  readonly #known = new Map<TLSSocket, () => ConnectionBindings>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #carry: Carry | undefined;

  /** @param parts TLS, and what it asks of clients */
  constructor(parts: TlsEntranceParts) {
    this.#parts = parts;
    const next: SecureHandler = {
      accept: (stream, cid, bindings) => this.#secured(stream, cid, bindings),
      giveWay: () => undefined,
      close: () => Promise.resolve(),
    };
    this.#listener = parts.tls.handler(next, parts.log, { protocols: ["h2", "http/1.1"] });
    this.giveWay = () => this.#listener.giveWay();
  }

  /** Begins a handshake. */
  accept({ stream, peer }: Connection, carry: Carry): void {
    this.#carry = carry;
    this.#listener.accept(stream, peer?.cid ?? this.#parts.developmentCid);
  }

  /** Ends handshakes that are not over. */
  close(): void {
    void this.#listener.close(0);
  }

  #secured(socket: TLSSocket, cid: number, bindings: () => ConnectionBindings): void {
    if (this.#parts.requiresCertificate) {
      const reason = faultOf(bindings());
      if (reason !== undefined) return this.#refuse(socket, cid, reason);
      this.#known.set(socket, bindings);
      socket.once("close", () => this.#forget(socket));
      this.#timer ??= this.#startTimer();
    }
    this.#carry?.(socket);
  }

  #refuse(socket: TLSSocket, cid: number, reason: string): void {
    const record = new RequestRecord("http", cid);
    record.operation = "Handshake";
    record.finish(this.#parts.log, "refused", reason);
    socket.destroy();
  }

  #forget(socket: TLSSocket): void {
    this.#known.delete(socket);
    if (this.#known.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #startTimer(): ReturnType<typeof setInterval> {
    return setInterval(() => {
      for (const [socket, bindings] of this.#known) {
        if (faultOf(bindings()) !== undefined) socket.destroy();
      }
    }, this.#parts.lookMs ?? LOOK_MS);
  }
}

/** Finds why a client is not let in: undefined when it is. */
function faultOf({ certificate, hasUnjudgedCertificate }: ConnectionBindings): string | undefined {
  if (certificate !== undefined) return undefined;
  return hasUnjudgedCertificate === true ? "certificate-unjudged" : "certificate-missing";
}
