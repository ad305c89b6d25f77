import { type Identity, issueCertificate, type Name, pem, privateKeyPem } from "./certificates.ts";

/** Kind of certificate that the simulated KMS shows: a valid one, or one that a client must refuse. */
export type CertificateKind = "valid" | "expired" | "notYetValid" | "wrongName" | "unknownCa";

/** Certificate and private key of a TLS server, PEM. */
export interface ServerCertificate {
  /** The certificate. */
  readonly cert: string;
  /** Its private key. */
  readonly key: string;
}

/** A certificate authority for the simulated KMS, and its server certificates, made when first asked for. */
export class TlsAuthority {
  /** Certificate of the authority, PEM. A client must trust it. */
  readonly trustedCertificates: string;
  readonly #authority: Identity;
  readonly #names: readonly string[];
  readonly #now: () => number;
  readonly #made = new Map<CertificateKind, Promise<ServerCertificate>>();

  private constructor(authority: Identity, names: readonly string[], now: () => number) {
    this.#authority = authority;
    this.#names = names;
    this.#now = now;
    this.trustedCertificates = pem("CERTIFICATE", authority.certificate);
  }

  /**
   * Makes an authority.
   *
   * @param hostName The name in the certificates: `kms.us-east-1.amazonaws.com`
   * @param now The clock, milliseconds since 1970
   * @param others More names and IP addresses in the certificates. Default: none
   * @returns A fresh authority
   */
  static async create(
    hostName: string,
    now: () => number = Date.now,
    others: readonly string[] = [],
  ): Promise<TlsAuthority> {
    return new TlsAuthority(await makeAuthority(now()), [hostName, ...others], now);
  }

  /**
   * Hands out a server certificate.
   *
   * @param kind Kind of certificate
   * @returns The certificate and its key, the same at every call
   */
  certificate(kind: CertificateKind): Promise<ServerCertificate> {
    const made = this.#made.get(kind) ?? this.#make(kind);
    this.#made.set(kind, made);
    return made;
  }

  async #make(kind: CertificateKind): Promise<ServerCertificate> {
    const now = this.#now();
    const dnsNames = kind === "wrongName" ? ["kms.example.com"] : this.#names;
    const server = await issueCertificate({
      subject: [["O", "enclave-kms simulator"], ["CN", dnsNames[0] ?? ""]],
      curve: "P-256",
      notBefore: kind === "notYetValid" ? now + DAY_MS : now - 30 * DAY_MS,
      notAfter: kind === "expired" ? now - DAY_MS : now + 30 * DAY_MS,
      dnsNames,
    }, kind === "unknownCa" ? await makeAuthority(now) : this.#authority);
    return { cert: pem("CERTIFICATE", server.certificate), key: await privateKeyPem(server) };
  }
}

const DAY_MS = 86_400_000;
const AUTHORITY_NAME: Name = [["O", "enclave-kms simulator"], ["CN", "Simulated KMS root"]];

function makeAuthority(now: number): Promise<Identity> {
  return issueCertificate({
    subject: AUTHORITY_NAME,
    curve: "P-256",
    notBefore: now - 365 * DAY_MS,
    notAfter: now + 365 * DAY_MS,
    pathLength: 0,
  });
}
