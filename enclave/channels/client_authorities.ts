import { X509Certificate } from "node:crypto";
import { readUsage } from "./client_usage.ts";

/** Reason why a client's certificate is refused, for the log. */
export type CertificateFault = "form" | "usage" | "issuer" | "expired";

/** A client's certificate that an authority vouches for. */
export interface ClientCertificate {
  /** The certificate, DER. */
  readonly der: Uint8Array<ArrayBuffer>;
  /** Start of the time in which it and its authority are valid, milliseconds since 1970. */
  readonly validFrom: number;
  /** End of that time. */
  readonly validTo: number;
}

/**
 * Authorities that vouch for callers' certificates.
 *
 * Each certificate is checked here in full, whatever the runtime's TLS says of it: Deno 2.9.5 calls a client
 * authorized that resumes a session with a certificate it was refused with before, and one that shows the
 * authority's own certificate. TLS proves the one thing that is left: that the client has the certificate's key.
 * Deno does not check that for certificates older than version 3, which are refused here.
 *
 * A certificate must be signed by one of the authorities itself: chains over other authorities are not followed.
 */
export class ClientAuthorities {
  /** The authorities, PEM. */
  readonly pem: string;
  readonly #authorities: readonly X509Certificate[];

  /**
   * Reads the authorities.
   *
   * @param pem One certificate or more, PEM
   * @throws {TypeError} When there is none, or one that is no authority or has limits that are not checked here
   */
  constructor(pem: string) {
    const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
    if (blocks.length === 0) throw new TypeError("clientAuthorities must have a certificate in PEM");
    this.#authorities = blocks.map(readAuthority);
    // Without anything else that stood in the file, which would stay in memory.
    this.pem = blocks.map((block) => `${block}\n`).join("");
  }

  /**
   * Checks a client's certificate in all but its time.
   *
   * @param der The certificate that TLS proved the client to have the key of
   * @returns The certificate, or the reason why it is refused
   */
  check(der: Uint8Array): ClientCertificate | CertificateFault {
    try {
      const certificate = new X509Certificate(der);
      const { usages, keyUsage } = readUsage(Uint8Array.from(der));
      if (certificate.ca || usages?.includes(CLIENT_AUTH) === false) return "usage";
      if (keyUsage !== undefined && (keyUsage & DIGITAL_SIGNATURE) === 0) return "usage";
      const issuer = this.#authorities.find((authority) =>
        certificate.checkIssued(authority) && certificate.verify(authority.publicKey)
      );
      if (issuer === undefined) return "issuer";
      return {
        der: Uint8Array.from(der),
        validFrom: Math.max(Date.parse(certificate.validFrom), Date.parse(issuer.validFrom)),
        validTo: Math.min(Date.parse(certificate.validTo), Date.parse(issuer.validTo)),
      };
    } catch {
      return "form";
    }
  }
}

/**
 * Tells whether a certificate is valid at a time.
 *
 * @param certificate Certificate and its time
 * @param nowMs Milliseconds since 1970
 */
export function isValidAt({ validFrom, validTo }: ClientCertificate, nowMs: number): boolean {
  return nowMs >= validFrom && nowMs <= validTo;
}

const CLIENT_AUTH = "2b06010505070302";
const DIGITAL_SIGNATURE = 0x80;
const CERT_SIGN = 0x04;

function readAuthority(pem: string): X509Certificate {
  try {
    const authority = new X509Certificate(pem);
    const { keyUsage = CERT_SIGN } = readUsage(new Uint8Array(authority.raw));
    if (authority.ca && (keyUsage & CERT_SIGN) !== 0) return authority;
  } catch {
    // The runtimes' own messages may quote what stands there.
  }
  throw new TypeError(
    "clientAuthorities must be certificates of authorities, version 3, with no critical extension but basic " +
      "constraints, key usage, and alternative names",
  );
}
