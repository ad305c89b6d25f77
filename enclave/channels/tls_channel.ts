import { Buffer } from "node:buffer";
import { constants, generateKeyPairSync, type KeyObject } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import { checkFields } from "../../lib/core/checks.ts";
import { joinBase64 } from "../../lib/core/secret_json.ts";
import type { BootKeys } from "../boot_keys.ts";
import type { RequestLog } from "../telemetry/request_record.ts";
import { ClientAuthorities } from "./client_authorities.ts";
import { certificatePem, makeTlsCertificate } from "./tls_certificate.ts";
import { type HandshakeLimits, type SecureHandler, TlsListener } from "./tls_listener.ts";

/** Parts of a {@link TlsChannel}. */
export interface TlsChannelParts {
  /** Keys of this boot. The channel adds its own as `tls`. */
  readonly keys: Pick<BootKeys, "bootId" | "add">;
  /**
   * Certificates of the authorities that vouch for clients, PEM. With them clients are asked for a certificate: one
   * without is nobody in particular, and one whose certificate is not good is refused. Default: clients are not asked.
   */
  readonly clientAuthorities?: string | undefined;
  /**
   * Clock by which clients' certificates are valid, milliseconds since 1970; undefined while it is not known, and no
   * certificate is judged. Default: the runtime's.
   */
  readonly now?: (() => number | undefined) | undefined;
}

/** Options of {@link TlsChannel.handler}. */
export interface TlsHandlerOptions extends HandshakeLimits {
  /** Protocols to agree on (ALPN), best first. Default: HTTP/1.1. */
  readonly protocols?: readonly string[];
}

/**
 * TLS 1.3 that ends inside the enclave, with a key and a self-signed certificate made for this boot. An attestation
 * document vouches for the key (`GET /v1/attestation`), and so for the channel: whoever carries its bytes reads none.
 *
 * Nothing is kept of a connection: no session is resumed, and no data is taken before the handshake is over.
 *
 * Not guaranteed: that nothing of the private key is left in memory. On Node the last copy is in OpenSSL, which wipes
 * it when the channel is disposed and the key pair collected. On Deno the runtime keeps it as a string.
 */
export class TlsChannel implements Disposable {
  /** Certificate of this boot, PEM. */
  readonly certificatePem: string;
  readonly #authorities: ClientAuthorities | undefined;
  readonly #now: () => number | undefined;
  #context: SecureContext | undefined;

  /** @internal */
  constructor({ keys, clientAuthorities, now = Date.now }: TlsChannelParts, pair: KeyPair) {
    this.#now = now;
    this.#authorities = clientAuthorities === undefined
      ? undefined
      : new ClientAuthorities(clientAuthorities);
    this.certificatePem = certificatePem(makeTlsCertificate(pair, keys.bootId));
    keys.add("tls", Uint8Array.from(pair.publicKey.export({ type: "spki", format: "der" })));
    this.#context = makeContext(pair.privateKey, this.certificatePem, this.#authorities?.pem);
  }

  /**
   * Makes the key and the certificate, and adds the public key to the boot's.
   *
   * @param parts Keys of this boot, and trust in clients
   * @returns The channel; the caller disposes it after its listeners have closed
   * @throws {TypeError} When a part is unknown, the authorities cannot be read, or a document may hold the digest of
   *   the boot's keys already
   */
  static create(parts: TlsChannelParts): TlsChannel {
    const checked = checkFields("parts of TlsChannel", parts, ["keys", "clientAuthorities", "now"]);
    return new TlsChannel(checked, makeTlsKeys());
  }

  /** Whether clients are asked for certificates. */
  get asksForCertificates(): boolean {
    return this.#authorities !== undefined;
  }

  /**
   * Makes the handler of connections that begin with a handshake of this TLS. The next handler gets the bindings
   * `channel`, which is `tls`, and `certificate` when the client has one that an authority vouches for, or
   * `hasUnjudgedCertificate` while the clock does not tell whether it is valid.
   *
   * @param next Handler of the connections after their handshakes
   * @param log Destination of what is refused
   * @param options Limits on handshakes, and protocols to agree on. Default: HTTP/1.1
   */
  handler(next: SecureHandler, log: RequestLog, options: TlsHandlerOptions = {}): TlsListener {
    return new TlsListener({
      protocols: ["http/1.1"],
      ...log,
      ...options,
      next,
      context: () => this.#context,
      authorities: this.#authorities,
      now: this.#now,
    });
  }

  /** Forgets the key: connections that come now are closed. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    // Without it Node would wipe the key when the context is collected, and Deno's would be reachable until then.
    const native: { close?: () => void; key?: unknown } | undefined = this.#context?.context;
    this.#context = undefined;
    native?.close?.();
    if (native !== undefined && "key" in native) native.key = undefined;
  }
}

/** Key pair in the runtime's own memory. */
interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

/** Makes a key pair on P-256. */
export function makeTlsKeys(): KeyPair {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

function makeContext(privateKey: KeyObject, cert: string, ca: string | undefined): SecureContext {
  const der = privateKey.export({ type: "pkcs8", format: "der" });
  // PEM that Node makes is a string, which nobody can wipe.
  const key = joinBase64("-----BEGIN PRIVATE KEY-----\n", der, "\n-----END PRIVATE KEY-----\n");
  try {
    return createSecureContext({
      key: Buffer.from(key.buffer, key.byteOffset, key.length),
      cert,
      ...(ca === undefined ? {} : { ca }),
      minVersion: "TLSv1.3",
      maxVersion: "TLSv1.3",
      // Node then takes no session up again. Deno does all the same, with the certificate of the first handshake.
      secureOptions: constants.SSL_OP_NO_TICKET,
    });
  } finally {
    der.fill(0);
    key.fill(0);
  }
}
