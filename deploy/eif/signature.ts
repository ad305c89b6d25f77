/**
 * Signature section of an image: one signature of PCR0, from which the hypervisor takes PCR8. A CBOR array of one map
 * with a certificate (PEM) and a COSE_Sign1 (RFC 9052, untagged, ES384), both as arrays of integers.
 *
 * @module
 */
import { DerReader, TAG } from "../../lib/attestation/der.ts";
import { concatBytes, equalBytes, fromBase64 } from "../../lib/core/bytes.ts";
import { type CborItem, readCbor } from "../../lib/core/cbor.ts";
import { type CborValue, encodeCbor } from "../../lib/core/encode_cbor.ts";
import type { ImageError } from "../../lib/core/errors.ts";
import { malformedImage } from "./image_error.ts";
import { measureBytes } from "./sha384.ts";

/** Signer of an image. */
export interface ImageSigner {
  /** Certificate of its key on P-384, PEM: one, and nothing else. */
  readonly certificate: string;
  /**
   * Signs bytes.
   *
   * @param bytes Bytes to sign
   * @returns ECDSA with SHA-384: r and s, 96 bytes
   */
  sign(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array>;
}

/** Signature of an image, verified. */
export interface ImageSignature {
  /** PCR8: measurement of the certificate, 48 bytes. */
  readonly pcr8: Uint8Array;
  /** The certificate, DER. Nobody but the key policy, by PCR8, says whether it is to be trusted. */
  readonly certificate: Uint8Array;
}

/** Protected header of ES384: {1: -35}. */
const PROTECTED: Uint8Array<ArrayBuffer> = encodeCbor(new Map([[1, -35]]));

const SIGNATURE_BYTES = 96;

/**
 * Makes the signature section of an image.
 *
 * @param pcr0 PCR0 of the image, 48 bytes
 * @param signer Signer
 * @returns Content of the section
 * @throws {ImageError} When the certificate is none, or its key did not make the signature
 */
export async function makeSignature(
  pcr0: Uint8Array,
  { certificate, sign }: ImageSigner,
): Promise<Uint8Array<ArrayBuffer>> {
  const payload = payloadOf(pcr0);
  const signature = await sign(signedBytes(payload));
  const message = concatBytes([
    [0x84],
    encodeCbor(PROTECTED),
    [0xa0],
    encodeCbor(payload),
    encodeCbor(signature),
  ]);
  const section = concatBytes([
    [0x81, 0xa2],
    encodeCbor("signing_certificate"),
    encodeCbor([...new TextEncoder().encode(certificate)]),
    encodeCbor("signature"),
    encodeCbor([...message]),
  ]);
  await verifySignature(section, pcr0);
  return section;
}

/**
 * Verifies the signature section of an image.
 *
 * @param section Content of the section, as nobody vouches for it
 * @param pcr0 PCR0 that was measured, 48 bytes
 * @returns PCR8 and the certificate
 * @throws {ImageError} When it is malformed, or signs another PCR0
 */
export async function verifySignature(section: Uint8Array, pcr0: Uint8Array): Promise<ImageSignature> {
  const { certificate, message } = readSection(section);
  const der = derOf(certificate);
  const { payload, signature } = readMessage(message);
  if (!equalBytes(payload, payloadOf(pcr0))) throw malformedImage("its signature is of another PCR0");
  if (!await isSigned(publicKeyOf(der), signature, signedBytes(payload))) {
    throw malformedImage("its signature is not by the key of its certificate");
  }
  return { certificate: der, pcr8: await measureBytes(der) };
}

function payloadOf(pcr0: Uint8Array): Uint8Array<ArrayBuffer> {
  const fields: [string, CborValue][] = [["register_index", 0], ["register_value", [...pcr0]]];
  return encodeCbor(new Map(fields));
}

/** Sig_structure of RFC 9052, section 4.4. */
function signedBytes(payload: Uint8Array): Uint8Array<ArrayBuffer> {
  return encodeCbor(["Signature1", PROTECTED, new Uint8Array(), payload]);
}

async function isSigned(
  publicKey: Uint8Array<ArrayBuffer>,
  signature: Uint8Array<ArrayBuffer>,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  try {
    const key = await crypto.subtle.importKey(
      "spki",
      publicKey,
      { name: "ECDSA", namedCurve: "P-384" },
      false,
      [
        "verify",
      ],
    );
    return await crypto.subtle.verify({ name: "ECDSA", hash: "SHA-384" }, key, signature, bytes);
  } catch {
    throw malformedImage("the key of its certificate is not on P-384");
  }
}

/** Reads the array of one map; what nitro-cli writes has its keys in this order, and any order is taken. */
function readSection(bytes: Uint8Array): { certificate: string; message: Uint8Array } {
  const [map, ...others] = itemsOf(readCbor(bytes), "array");
  if (map === undefined || others.length > 0) throw notASignature();
  const items = itemsOf(map, "map");
  const keys = items.filter((_, index) => index % 2 === 0).map(textOf);
  const value = (key: string) => bytesOf(items[keys.indexOf(key) * 2 + 1]);
  if (keys.length !== 2 || !keys.includes("signing_certificate") || !keys.includes("signature")) {
    throw notASignature();
  }
  return {
    certificate: new TextDecoder().decode(value("signing_certificate")),
    message: value("signature"),
  };
}

function readMessage(bytes: Uint8Array) {
  const [head, unprotected, payload, signature, ...others] = itemsOf(readCbor(bytes), "array");
  const isEmptyMap = unprotected?.type === "map" && unprotected.items.length === 0;
  const isKnown = head?.type === "bytes" && equalBytes(head.content, PROTECTED) && isEmptyMap;
  if (!isKnown || others.length > 0 || payload?.type !== "bytes" || signature?.type !== "bytes") {
    throw malformedImage("its signature is no COSE_Sign1 by ES384");
  }
  if (signature.content.length !== SIGNATURE_BYTES) throw malformedImage("its signature is not of 96 bytes");
  return { payload: payload.content, signature: signature.content.slice() };
}

function itemsOf(item: CborItem | undefined, type: "array" | "map"): readonly CborItem[] {
  if (item?.type !== type || item.isIndefinite) throw notASignature();
  return item.items;
}

function textOf(item: CborItem): string {
  if (item.type !== "text") throw notASignature();
  return new TextDecoder().decode(item.content);
}

/** Bytes are an array of integers there, as serde writes a vector. */
function bytesOf(item: CborItem | undefined): Uint8Array {
  return Uint8Array.from(itemsOf(item, "array"), ({ type, argument }) => {
    if (type !== "unsigned" || argument > 255) throw notASignature();
    return argument;
  });
}

function derOf(pem: string): Uint8Array<ArrayBuffer> {
  const [, body = ""] =
    /^\s*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*$/.exec(pem) ?? [];
  const der = fromBase64(body.replace(/\s+/g, ""));
  if (der === undefined || der.length === 0) {
    throw malformedImage("its signing certificate is not one certificate in PEM");
  }
  return der;
}

/** Finds the key of a certificate of any version: openssl writes version 1 unless it is told extensions. */
function publicKeyOf(der: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  try {
    const fields = new DerReader(der).enter(TAG.sequence).enter(TAG.sequence);
    if (fields.nextIs(0xa0)) fields.element(0xa0);
    fields.unsignedInteger();
    for (let skipped = 0; skipped < 4; skipped++) fields.element(TAG.sequence);
    return fields.element(TAG.sequence);
  } catch {
    throw malformedImage("its signing certificate is no X.509 certificate");
  }
}

function notASignature(): ImageError {
  return malformedImage("its signature section is no list of one certificate and signature");
}
