import type { Duplex } from "node:stream";
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from "node:tls";
import {
  type BootAttestation,
  type BootAttestationOptions,
  readBootAttestation,
} from "../../attestation/boot_attestation.ts";
import { equalBytes } from "../../core/bytes.ts";
import { Deadline } from "../../core/deadline.ts";
import type { Endpoint } from "../../core/endpoint.ts";
import { CertificateError, ConnectionError } from "../../core/errors.ts";
import { fetchOver } from "../../transport/create_fetch.ts";
import { holdBack } from "../../transport/hold_back.ts";
import { openTransport, type PeerWords } from "../../transport/open_transport.ts";
import { isCertificateFault, untilSecure } from "../../transport/tls_handshake.ts";
import { ENCLAVE_TLS_NAME } from "../../wire/enclave_tls_name.ts";
import { askAttestation } from "./ask_attestation.ts";
import { type AttestedCertificate, readAttestedCertificate } from "./attested_certificate.ts";

/** Trust in enclaves, and what this side shows them. */
export interface AttestedTlsParts {
  /** Expectations of an enclave's document, checked. */
  readonly expectations: BootAttestationOptions;
  /** Certificate and key of this side, shown to verified enclaves only. */
  readonly identity: Pick<ConnectionOptions, "cert" | "key">;
  /** Milliseconds to ask an enclave for its attestation. */
  readonly timeoutMs: number;
  /** Called with each enclave that passes, and awaited; its throw refuses the enclave. */
  readonly onAttested?: ((boot: BootAttestation) => unknown) | undefined;
}

/** A stream below TLS, and the TLS. */
export interface SecureStream {
  /** Connection to the enclave. */
  readonly socket: TLSSocket;
  /** Stream below it. */
  readonly raw: Duplex;
}

const PEER: PeerWords = {
  name: "the enclave",
  hint: "Does the enclave's TLS listen there, or a bridge to it?",
};
const NONCE_BYTES = 32;

/** Opens TLS connections that end inside verified enclaves, and remembers the certificate behind each endpoint. */
export class AttestedTls {
  readonly #parts: AttestedTlsParts;
  readonly #trusted = new Map<string, Promise<AttestedCertificate>>();

  /** @param parts Trust in enclaves */
  constructor(parts: AttestedTlsParts) {
    this.#parts = parts;
  }

  /**
   * Connects. The enclave is asked for its attestation first, unless its certificate is known; when another one is
   * shown, it is asked once more.
   *
   * @param endpoint Address of the enclave's TLS, or of a bridge to it
   * @param deadline End of the attempt
   * @returns The connection, its peer verified
   * @throws {AttestationError} When the enclave is not an expected one
   * @throws {CertificateError} When another certificate is shown than the one just attested
   * @throws {ConnectionError} When nothing answers there, or the connection breaks
   * @throws {ProtocolError} When the answer to the question is none
   * @throws {TimeoutError} When the deadline passes
   */
  async connect(endpoint: Endpoint, deadline: Deadline): Promise<SecureStream> {
    const { identity } = this.#parts;
    const key = JSON.stringify(endpoint);
    const known = this.#trusted.get(key);
    if (known !== undefined) {
      try {
        return await connectToAttested(endpoint, await deadline.race(known), identity, deadline);
      } catch (error) {
        if (!(error instanceof CertificateError)) throw error;
        if (this.#trusted.get(key) === known) this.#trusted.delete(key);
      }
    }
    const certificate = await deadline.race(this.#trust(key, endpoint));
    return await connectToAttested(endpoint, certificate, identity, deadline);
  }

  /** Shares one question among the connections that wait for it, none of which can end it for the others. */
  #trust(key: string, endpoint: Endpoint): Promise<AttestedCertificate> {
    const asked = this.#trusted.get(key);
    if (asked !== undefined) return asked;
    const asking = this.#attest(endpoint);
    this.#trusted.set(key, asking);
    asking.catch(() => this.#trusted.get(key) === asking && this.#trusted.delete(key));
    return asking;
  }

  async #attest(endpoint: Endpoint): Promise<AttestedCertificate> {
    const { expectations, onAttested, timeoutMs } = this.#parts;
    using deadline = new Deadline("attest the enclave", timeoutMs, undefined, "connect");
    const open = async () => (await connectToAnybody(endpoint, deadline)).socket;
    const fetch = fetchOver({ protocol: "https:", open });
    const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
    const answer = await deadline.race(askAttestation(fetch, nonce, deadline.signal));
    const boot = await readBootAttestation(answer, { ...expectations, nonce });
    const certificate = await readAttestedCertificate(boot);
    await deadline.race(Promise.resolve(onAttested?.(boot)));
    return certificate;
  }
}

/**
 * Connects over TLS that trusts one certificate, of an enclave that was verified, and no other.
 *
 * @param endpoint Address of the enclave's TLS, or of a bridge to it
 * @param certificate Attested certificate
 * @param identity Certificate and key of this side
 * @param deadline End of the attempt
 * @returns The connection, which whoever has the certificate's key ends
 * @throws {CertificateError} When another certificate is shown
 * @throws {ConnectionError} When nothing answers there, or the connection breaks
 * @throws {TimeoutError} When the deadline passes
 */
export async function connectToAttested(
  endpoint: Endpoint,
  { pem, der }: AttestedCertificate,
  identity: AttestedTlsParts["identity"],
  deadline: Deadline,
): Promise<SecureStream> {
  const secure = await handshake(endpoint, { ...identity, ca: [pem], rejectUnauthorized: true }, deadline);
  const { socket } = secure;
  // Whatever the runtime makes of a chain: this one certificate, and none that it could lead to.
  if (socket.authorized && equalBytes(new Uint8Array(socket.getPeerCertificate().raw), der)) return secure;
  socket.destroy();
  throw anotherCertificate();
}

/**
 * Connects over TLS that trusts nobody, to ask an enclave for its attestation.
 *
 * @param endpoint Address of the enclave's TLS, or of a bridge to it
 * @param deadline End of the attempt
 * @returns The connection, whose other end may be anybody
 * @throws {ConnectionError} When nothing answers there, or the connection breaks
 * @throws {TimeoutError} When the deadline passes
 */
export async function connectToAnybody(endpoint: Endpoint, deadline: Deadline): Promise<SecureStream> {
  return await handshake(endpoint, { rejectUnauthorized: false }, deadline);
}

async function handshake(
  endpoint: Endpoint,
  options: ConnectionOptions,
  deadline: Deadline,
): Promise<SecureStream> {
  deadline.stage = "connect";
  const raw = await openTransport(endpoint, deadline, PEER);
  raw.on("error", () => {});
  const socket = connectTls({
    ...options,
    socket: raw,
    servername: ENCLAVE_TLS_NAME,
    ALPNProtocols: ["http/1.1"],
    minVersion: "TLSv1.3",
  });
  holdBack(socket, raw);
  socket.once("close", () => raw.destroy());
  deadline.stage = "enclave";
  try {
    await deadline.race(untilSecure(socket));
    return { socket, raw };
  } catch (error) {
    socket.destroy();
    raw.destroy();
    deadline.throwIfPassed();
    throw handshakeError(error);
  }
}

function handshakeError(error: unknown): Error {
  const code = (error as { readonly code?: unknown }).code;
  if (typeof code === "string" && isCertificateFault(code)) return anotherCertificate(error);
  const suffix = typeof code === "string" ? ` (${code})` : "";
  return new ConnectionError(`Cannot connect to the enclave: the TLS handshake failed${suffix}`, {
    hint:
      "Does the endpoint lead to the enclave's TLS, and not to its clear port, or to TLS that ends before it?",
    cause: error,
  });
}

function anotherCertificate(cause?: unknown): CertificateError {
  return new CertificateError(
    "Cannot trust the enclave: another certificate is shown than the attested one",
    {
      hint: "Does TLS end before the enclave, or do connections go to several enclaves in turn?",
      cause,
    },
  );
}
