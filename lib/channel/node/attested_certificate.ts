import { rawSignature } from "../../attestation/certificate.ts";
import type { BootAttestation } from "../../attestation/boot_attestation.ts";
import { DerReader, malformed, TAG } from "../../attestation/der.ts";
import { equalBytes, toHex } from "../../core/bytes.ts";
import { decodeBase64, encodeBase64 } from "../../core/encoding.ts";
import { AttestationError } from "../../core/errors.ts";

/** Certificate that the key of a verified boot signed. */
export interface AttestedCertificate {
  /** The certificate, DER. */
  readonly der: Uint8Array<ArrayBuffer>;
  /** The certificate alone, PEM. */
  readonly pem: string;
}

/**
 * Reads the certificate of an enclave's TLS, and checks that the key which the document vouches for is in it and
 * signed it. So nobody but the enclave made it: each byte is signed or the only one that can stand there. That matters
 * on Deno, which does not check that a peer has the key of a certificate that its TLS library cannot read.
 *
 * @param boot Verified answer of the enclave; its certificate is not verified yet
 * @returns The certificate
 * @throws {AttestationError} `ERR_ATTESTATION_FIELD_MISSING` without a certificate or a TLS key;
 *   `ERR_ATTESTATION_CERTIFICATE` when it cannot be read; `ERR_ATTESTATION_PUBLIC_KEY` when it has another key;
 *   `ERR_ATTESTATION_CERTIFICATE_SIGNATURE` when another key signed it
 */
export async function readAttestedCertificate(
  { certificate: pem, keys }: BootAttestation,
): Promise<AttestedCertificate> {
  const key = keys["tls"];
  if (pem === undefined || key === undefined) {
    throw new AttestationError("FIELD_MISSING", "Cannot trust enclave: it has no TLS of its own", {
      hint: "Is TLS switched on in the enclave?",
    });
  }
  const der = decodePem(pem);
  const { signedPart, signature, publicKey } = parseAttestedCertificate(der);
  if (!equalBytes(publicKey, key)) {
    throw new AttestationError("PUBLIC_KEY", "Cannot trust enclave: its certificate is of another key", {
      hint: "Did somebody on the way put their own certificate in its place?",
    });
  }
  if (!await isSigned(key, signature, signedPart)) {
    throw new AttestationError("CERTIFICATE_SIGNATURE", "Cannot trust enclave: its certificate was changed", {
      hint: "Did somebody on the way change it?",
    });
  }
  return { der, pem: `${BEGIN}\n${encodeBase64(der).replace(/.{1,64}/g, "$&\n")}${END}\n` };
}

const BEGIN = "-----BEGIN CERTIFICATE-----";
const END = "-----END CERTIFICATE-----";
const ECDSA_WITH_SHA256 = "300a06082a8648ce3d040302";
const VERSION = 0xa0;
const VERSION_3 = "020102";
const COORDINATE_LENGTH = 32;
const MAX_CERTIFICATE_BYTES = 8192;

/** Reads the one certificate of a text: a second one would be an authority of somebody else's. */
function decodePem(pem: string): Uint8Array<ArrayBuffer> {
  const text = pem.replace(/[\r\n]/g, "");
  const isWhole = text.startsWith(BEGIN) && text.endsWith(END) && text.length < MAX_CERTIFICATE_BYTES;
  if (!isWhole) throw malformed("it is not one certificate in PEM");
  try {
    return decodeBase64(text.slice(BEGIN.length, -END.length));
  } catch {
    throw malformed("it is not base64");
  }
}

/** Parts of a certificate that are looked at. */
export interface CertificateParts {
  /** Signed part, DER. */
  readonly signedPart: Uint8Array<ArrayBuffer>;
  /** ECDSA signature as r and s, 64 bytes. */
  readonly signature: Uint8Array<ArrayBuffer>;
  /** Public key, SPKI DER. */
  readonly publicKey: Uint8Array<ArrayBuffer>;
}

/**
 * Reads a certificate of version 3 that ECDSA with SHA-256 signed, strictly.
 *
 * @param der One certificate
 * @returns Its parts, as views into `der`; nothing is verified
 * @throws {AttestationError} `ERR_ATTESTATION_CERTIFICATE` when it is not one
 */
export function parseAttestedCertificate(der: Uint8Array<ArrayBuffer>): CertificateParts {
  const outer = new DerReader(der);
  const certificate = outer.enter(TAG.sequence);
  outer.finish();
  const signedPart = certificate.element(TAG.sequence);
  expectHex(certificate.element(TAG.sequence), ECDSA_WITH_SHA256, "it is not signed by ECDSA with SHA-256");
  const signature = rawSignature(certificate.wholeBytes(), COORDINATE_LENGTH);
  certificate.finish();
  const fields = new DerReader(signedPart).enter(TAG.sequence);
  expectHex(fields.contents(VERSION), VERSION_3, "it is not version 3");
  fields.unsignedInteger();
  expectHex(fields.element(TAG.sequence), ECDSA_WITH_SHA256, "it is not signed by ECDSA with SHA-256");
  for (const _field of ["issuer", "validity", "subject"]) fields.element(TAG.sequence);
  return { signedPart, signature, publicKey: fields.element(TAG.sequence) };
}

function expectHex(actual: Uint8Array, hex: string, otherwise: string): void {
  if (toHex(actual) !== hex) throw malformed(otherwise);
}

async function isSigned(
  spki: Uint8Array<ArrayBuffer>,
  signature: Uint8Array<ArrayBuffer>,
  signedPart: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  try {
    const algorithm = { name: "ECDSA", namedCurve: "P-256" };
    const key = await crypto.subtle.importKey("spki", spki, algorithm, false, ["verify"]);
    return await crypto.subtle.verify({ name: "ECDSA", hash: "SHA-256" }, key, signature, signedPart);
  } catch {
    return false; // not a key on P-256
  }
}
