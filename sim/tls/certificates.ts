/**
 * X.509 certificates for the simulator: those of its KMS's TLS, and those above an attestation document.
 *
 * @module
 */
import { isIP } from "node:net";
import { webcrypto } from "node:crypto";
import { encodeBase64 } from "../../lib/core/encoding.ts";
import {
  bitString,
  type Bytes,
  concat,
  element,
  integer,
  octetString,
  oid,
  printableString,
  sequence,
  set,
  time,
  TRUE,
  utf8String,
} from "./der.ts";

/** The curves in use: P-256 for TLS, P-384 for attestation. */
export type Curve = "P-256" | "P-384";

/** A name, most significant part first. */
export type Name = readonly (readonly [type: "C" | "ST" | "L" | "O" | "OU" | "CN", value: string])[];

/** Content of a certificate. */
export interface CertificateRequest {
  /** Name of the holder. */
  readonly subject: Name;
  /** The curve of its key. */
  readonly curve: Curve;
  /** Start of validity, milliseconds since 1970. */
  readonly notBefore: number;
  /** End of validity, milliseconds since 1970. */
  readonly notAfter: number;
  /** Makes it a certificate authority, with at most so many authorities below; Infinity for no limit. */
  readonly pathLength?: number;
  /** Makes it a TLS server's, for these names and addresses. */
  readonly dnsNames?: readonly string[];
  /** Use of its key. Default: certificates for an authority, documents for others. */
  readonly keyUsage?: KeyUsage;
  /** Further extensions, made by {@link extension}. */
  readonly extraExtensions?: readonly Bytes[];
}

/** Data that a key may sign. */
export type KeyUsage = "certificates" | "documents";

/** A certificate and its key. */
export interface Identity {
  /** Name of the holder. */
  readonly subject: Name;
  /** The certificate, DER. */
  readonly certificate: Bytes;
  /** The key pair; both keys can be exported. */
  readonly keys: KeyPair;
  /** The curve of the key. */
  readonly curve: Curve;
  /** End of validity, milliseconds since 1970. */
  readonly notAfter: number;
}

/** A key pair of WebCrypto. */
export type KeyPair = webcrypto.CryptoKeyPair;

/**
 * Makes a key pair and a certificate for it, with the extensions that `openssl verify -x509_strict` demands.
 *
 * @param request Content of the certificate
 * @param issuer Identity that signs it; without one it is self-signed
 * @returns The certificate and its key
 */
export async function issueCertificate(request: CertificateRequest, issuer?: Identity): Promise<Identity> {
  const { subject, curve, notBefore, notAfter } = request;
  const keys = await generateKeys(curve);
  const spki = await exportPublicKey(keys);
  const issuerKeys = issuer?.keys ?? keys;
  const issuerCurve = issuer?.curve ?? curve;
  const signedPart = sequence(
    element(0xa0, integer(2)),
    integer(webcrypto.getRandomValues(new Uint8Array(16)).with(0, 0x5a)),
    SIGNATURE_ALGORITHM[issuerCurve],
    encodeName(issuer?.subject ?? subject),
    sequence(time(notBefore), time(notAfter)),
    encodeName(subject),
    spki,
    element(0xa3, await extensions(request, spki, await exportPublicKey(issuerKeys))),
  );
  const signature = await sign(issuerKeys, issuerCurve, signedPart);
  const certificate = sequence(
    signedPart,
    SIGNATURE_ALGORITHM[issuerCurve],
    bitString(derSignature(signature)),
  );
  return { subject, certificate, keys, curve, notAfter };
}

/**
 * Signs as COSE does: ECDSA with the curve's own hash.
 *
 * @param keys Key pair that signs
 * @param curve Curve of the keys
 * @param data Data to sign
 * @returns r and s: 64 bytes for P-256, 96 for P-384
 */
export async function sign(keys: KeyPair, curve: Curve, data: Bytes): Promise<Bytes> {
  const algorithm = { name: "ECDSA", hash: HASH[curve] };
  return new Uint8Array(await webcrypto.subtle.sign(algorithm, keys.privateKey, data));
}

/**
 * Makes a key pair for ECDSA. Both keys can be exported.
 *
 * @param curve The curve
 */
export function generateKeys(curve: Curve): Promise<KeyPair> {
  return webcrypto.subtle.generateKey({ name: "ECDSA", namedCurve: curve }, true, ["sign", "verify"]);
}

/**
 * Exports the private key of an identity.
 *
 * @param identity The identity
 * @returns PKCS #8 as PEM
 */
export async function privateKeyPem({ keys }: Identity): Promise<string> {
  return pem("PRIVATE KEY", new Uint8Array(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)));
}

/**
 * Wraps DER as PEM.
 *
 * @param label Label such as `CERTIFICATE` or `PRIVATE KEY`
 * @param der DER to wrap
 * @returns PEM with a line feed at the end
 */
export function pem(label: string, der: Uint8Array): string {
  const lines = encodeBase64(der).replace(/.{64}/g, "$&\n").trimEnd();
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

/**
 * Makes an extension of a certificate.
 *
 * @param id Object identifier, dotted
 * @param value DER
 * @param critical Whether a reader that does not know it must refuse the certificate
 * @returns DER
 */
export function extension(id: string, value: Bytes, critical = false): Bytes {
  return sequence(oid(id), ...(critical ? [TRUE] : []), octetString(value));
}

const HASH = { "P-256": "SHA-256", "P-384": "SHA-384" } as const;

const SIGNATURE_ALGORITHM = {
  "P-256": sequence(oid("1.2.840.10045.4.3.2")),
  "P-384": sequence(oid("1.2.840.10045.4.3.3")),
} as const;

const ATTRIBUTE = {
  C: "2.5.4.6",
  ST: "2.5.4.8",
  L: "2.5.4.7",
  O: "2.5.4.10",
  OU: "2.5.4.11",
  CN: "2.5.4.3",
} as const;

/** The key usage bits of RFC 5280, with the count of unused bits before them. */
const KEY_USAGE_BITS: Readonly<Record<KeyUsage, Uint8Array>> = {
  certificates: Uint8Array.of(1, 0x06),
  documents: Uint8Array.of(7, 0x80),
};

async function exportPublicKey(keys: KeyPair): Promise<Bytes> {
  return new Uint8Array(await webcrypto.subtle.exportKey("spki", keys.publicKey));
}

function encodeName(name: Name): Bytes {
  return sequence(...name.map(([type, value]) => {
    const text = type === "C" ? printableString(value) : utf8String(value);
    return set(sequence(oid(ATTRIBUTE[type]), text));
  }));
}

async function extensions(request: CertificateRequest, spki: Bytes, issuerSpki: Bytes): Promise<Bytes> {
  const { pathLength, dnsNames, extraExtensions = [] } = request;
  const authority = pathLength !== undefined;
  const { keyUsage = authority ? "certificates" : "documents" } = request;
  const limit = authority && pathLength !== Infinity ? [integer(pathLength)] : [];
  return sequence(
    extension("2.5.29.19", sequence(...(authority ? [TRUE] : []), ...limit), true),
    extension("2.5.29.15", element(0x03, KEY_USAGE_BITS[keyUsage]), true),
    extension("2.5.29.14", octetString(await keyId(spki))),
    extension("2.5.29.35", sequence(element(0x80, await keyId(issuerSpki)))),
    ...(dnsNames === undefined ? [] : serverExtensions(dnsNames)),
    ...extraExtensions,
  );
}

function serverExtensions(dnsNames: readonly string[]): Bytes[] {
  const names = dnsNames.map((name) =>
    isIP(name) === 0
      ? element(0x82, new TextEncoder().encode(name))
      : element(0x87, Uint8Array.from(addressBytes(name)))
  );
  return [
    extension("2.5.29.37", sequence(oid("1.3.6.1.5.5.7.3.1"))),
    extension("2.5.29.17", sequence(...names)),
  ];
}

/** Bytes of an IPv4 address, or of an IPv6 address without a zone and without an IPv4 part. */
function addressBytes(address: string): readonly number[] {
  if (isIP(address) === 4) return address.split(".").map(Number);
  const [head = "", tail] = address.split("::");
  const groups = (text: string) => text === "" ? [] : text.split(":").map((group) => parseInt(group, 16));
  const [first, last] = [groups(head), groups(tail ?? "")];
  const zeros = new Array<number>(Math.max(0, 8 - first.length - last.length)).fill(0);
  return [...first, ...zeros, ...last].flatMap((group) => [group >> 8, group & 0xff]);
}

async function keyId(spki: Bytes): Promise<Bytes> {
  return new Uint8Array(await webcrypto.subtle.digest("SHA-1", spki));
}

function derSignature(raw: Bytes): Bytes {
  const half = raw.length / 2;
  return concat(sequence(integer(raw.subarray(0, half)), integer(raw.subarray(half))));
}
