import { toHex } from "../core/bytes.ts";
import { DerReader, malformed, TAG } from "./der.ts";

/** Bits of the key usage extension that matter here, in the first byte of its BIT STRING. */
export const KEY_USAGE = { digitalSignature: 0x80, keyCertSign: 0x04 } as const;

/** Checked parts of an X.509 certificate of the attestation PKI: version 3, P-384, ECDSA with SHA-384. */
export interface Certificate {
  /** Signed part, DER. */
  readonly signedPart: Uint8Array<ArrayBuffer>;
  /** ECDSA signature of the issuer as r and s, 96 bytes. */
  readonly signature: Uint8Array<ArrayBuffer>;
  /** Name of the issuer, DER. */
  readonly issuer: Uint8Array<ArrayBuffer>;
  /** Name of the holder, DER. */
  readonly subject: Uint8Array<ArrayBuffer>;
  /** Start of validity, milliseconds since 1970. */
  readonly notBefore: number;
  /** Last moment of validity, milliseconds since 1970. */
  readonly notAfter: number;
  /** P-384 public key, SPKI DER. */
  readonly publicKey: Uint8Array<ArrayBuffer>;
  /** Extensions. */
  readonly extensions: CertificateExtensions;
}

/** Extensions that are understood; others are ignored unless critical. */
export interface CertificateExtensions {
  /** Whether basic constraints say that this is a CA; undefined without the extension. */
  readonly ca?: boolean;
  /** Number of CA certificates that may follow below this one. */
  readonly pathLength?: number;
  /** First byte of the key usage bits, see {@link KEY_USAGE}. */
  readonly keyUsage?: number;
  /** Subject key identifier. */
  readonly subjectKeyId?: Uint8Array<ArrayBuffer>;
  /** Key identifier of the issuer. */
  readonly authorityKeyId?: Uint8Array<ArrayBuffer>;
  /** Whether there is a critical extension that is not understood. */
  readonly unknownCritical?: boolean;
}

/**
 * Reads a certificate of the attestation PKI, strictly.
 *
 * @param der One certificate, at most 64 KiB
 * @returns Its parts, as views into `der`; nothing is verified
 * @throws {AttestationError} `ERR_ATTESTATION_CERTIFICATE` when it is not such a certificate
 */
export function parseCertificate(der: Uint8Array<ArrayBuffer>): Certificate {
  const outer = new DerReader(der);
  const certificate = outer.enter(TAG.sequence);
  outer.finish();
  const signedPart = certificate.element(TAG.sequence);
  expectBytes(certificate.element(TAG.sequence), ECDSA_WITH_SHA384, "not signed by ECDSA with SHA-384");
  const signature = rawSignature(certificate.wholeBytes(), COORDINATE_LENGTH);
  certificate.finish();
  return { signedPart, signature, ...parseSignedPart(signedPart) };
}

const ECDSA_WITH_SHA384 = "300a06082a8648ce3d040303";
const P384_KEY = "301006072a8648ce3d020106052b81040022";
const VERSION_3 = "020102";
const COORDINATE_LENGTH = 48;

function parseSignedPart(signedPart: Uint8Array<ArrayBuffer>): Omit<Certificate, "signedPart" | "signature"> {
  const fields = new DerReader(signedPart).enter(TAG.sequence);
  expectBytes(fields.contents(0xa0), VERSION_3, "not version 3");
  fields.unsignedInteger();
  expectBytes(fields.element(TAG.sequence), ECDSA_WITH_SHA384, "not signed by ECDSA with SHA-384");
  const issuer = fields.element(TAG.sequence);
  const validity = fields.enter(TAG.sequence);
  const notBefore = time(validity);
  const notAfter = time(validity);
  validity.finish();
  const subject = fields.element(TAG.sequence);
  const publicKey = p384Key(fields.element(TAG.sequence));
  const extensions = parseExtensions(fields.enter(0xa3).enter(TAG.sequence));
  fields.finish();
  return { issuer, subject, notBefore, notAfter, publicKey, extensions };
}

function p384Key(spki: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const fields = new DerReader(spki).enter(TAG.sequence);
  expectBytes(fields.element(TAG.sequence), P384_KEY, "the key is not on P-384");
  const point = fields.wholeBytes();
  fields.finish();
  if (point.length !== 1 + 2 * COORDINATE_LENGTH || point[0] !== 4) throw malformed("the key is not a point");
  return spki;
}

/**
 * Turns the DER form of an ECDSA signature into the form of WebCrypto and COSE.
 *
 * @param der The signature
 * @param coordinateLength Bytes of a coordinate on its curve: 48 for P-384, 32 for P-256
 * @returns r and s
 * @throws {AttestationError} `ERR_ATTESTATION_CERTIFICATE` when it is not one, in its shortest form
 */
export function rawSignature(
  der: Uint8Array<ArrayBuffer>,
  coordinateLength: number,
): Uint8Array<ArrayBuffer> {
  const outer = new DerReader(der);
  const fields = outer.enter(TAG.sequence);
  outer.finish();
  const raw = new Uint8Array(2 * coordinateLength);
  for (const end of [coordinateLength, 2 * coordinateLength]) {
    const number = fields.unsignedInteger();
    if (number.length > coordinateLength) throw malformed("the signature is too long");
    raw.set(number, end - number.length);
  }
  fields.finish();
  return raw;
}

/** Reads UTCTime (years 1950 to 2049) or GeneralizedTime, to the second, in UTC: RFC 5280, section 4.1.2.5. */
function time(fields: DerReader): number {
  const short = fields.nextIs(TAG.utcTime);
  const text = String.fromCharCode(...fields.contents(short ? TAG.utcTime : TAG.generalizedTime));
  const match = /^((?:\d\d)?\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (match === null || text.length !== (short ? 13 : 15)) throw malformed("a time is malformed");
  const [, digits, month, day, hour, minute, second] = match;
  const year = short ? (Number(digits) < 50 ? `20${digits}` : `19${digits}`) : digits;
  const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
  const milliseconds = Date.parse(iso);
  if (Number.isNaN(milliseconds) || new Date(milliseconds).toISOString() !== iso) {
    throw malformed("a time does not exist");
  }
  return milliseconds;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** Extensions by the hex of their object identifier. */
const EXTENSIONS: Readonly<
  Record<string, (value: DerReader, found: Writable<CertificateExtensions>) => void>
> = {
  "551d13": (value, found) => {
    const fields = value.enter(TAG.sequence);
    found.ca = fields.nextIs(TAG.boolean) && fields.boolean();
    if (fields.nextIs(TAG.integer)) found.pathLength = smallNumber(fields.unsignedInteger());
    fields.finish();
  },
  "551d0f": (value, found) => {
    const [unused = 8, bits = 0] = value.contents(TAG.bitString);
    if (unused > 7) throw malformed("the key usage is malformed");
    found.keyUsage = bits;
  },
  "551d0e": (value, found) => {
    found.subjectKeyId = value.contents(TAG.octetString);
  },
  "551d23": (value, found) => {
    const fields = value.enter(TAG.sequence);
    if (fields.nextIs(0x80)) found.authorityKeyId = fields.contents(0x80);
  },
};

function parseExtensions(list: DerReader): CertificateExtensions {
  const found: Writable<CertificateExtensions> = {};
  const seen = new Set<string>();
  while (!list.done) {
    const extension = list.enter(TAG.sequence);
    const id = toHex(extension.contents(TAG.oid));
    const critical = extension.nextIs(TAG.boolean) && extension.boolean();
    const value = new DerReader(extension.contents(TAG.octetString));
    extension.finish();
    if (seen.has(id)) throw malformed("an extension occurs twice");
    seen.add(id);
    const read = EXTENSIONS[id];
    if (read === undefined) found.unknownCritical ||= critical;
    else {
      read(value, found);
      value.finish();
    }
  }
  return found;
}

function smallNumber(bytes: Uint8Array): number {
  const [value = 0] = bytes;
  if (bytes.length !== 1) throw malformed("the path length is too large");
  return value;
}

function expectBytes(actual: Uint8Array, expectedHex: string, otherwise: string): void {
  if (toHex(actual) !== expectedHex) throw malformed(otherwise);
}
