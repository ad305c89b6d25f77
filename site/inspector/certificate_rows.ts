import { parseCertificate } from "../../lib/attestation/certificate.ts";
import { DerReader, TAG } from "../../lib/attestation/der.ts";
import { toHex } from "../../lib/core/bytes.ts";
import { EnclaveKmsError } from "../../lib/core/errors.ts";
import { visible } from "./visible.ts";

/** Attributes of names, by the hex of their object identifiers. */
const ATTRIBUTES: Readonly<Record<string, string>> = {
  "550403": "CN",
  "550406": "C",
  "550407": "L",
  "550408": "ST",
  "55040a": "O",
  "55040b": "OU",
};

/** Types of texts in a name: UTF8String, PrintableString, IA5String. */
const TEXTS = [0x0c, 0x13, 0x16];

/**
 * Describes a certificate in one line.
 *
 * @param der The certificate
 * @returns Its subject and validity, or why it cannot be read
 */
export function describeCertificate(der: Uint8Array<ArrayBuffer>): string {
  try {
    const { subject, notBefore, notAfter } = parseCertificate(der);
    return `${nameOf(subject)}; valid ${timeOf(notBefore)} to ${timeOf(notAfter)}`;
  } catch (error) {
    if (error instanceof EnclaveKmsError) return error.message;
    throw error;
  }
}

function timeOf(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace(".000Z", "Z");
}

function nameOf(name: Uint8Array<ArrayBuffer>): string {
  const parts: string[] = [];
  const sets = new DerReader(name).enter(TAG.sequence);
  while (!sets.done) {
    const pairs = sets.enter(TAG.set);
    while (!pairs.done) parts.push(attributeOf(pairs.enter(TAG.sequence)));
  }
  return parts.length === 0 ? "without a name" : parts.join(", ");
}

function attributeOf(pair: DerReader): string {
  const id = toHex(pair.contents(TAG.oid));
  const tag = TEXTS.find((text) => pair.nextIs(text));
  const value = tag === undefined ? "(no text)" : visible(new TextDecoder().decode(pair.contents(tag)));
  return `${ATTRIBUTES[id] ?? id}=${value}`;
}
