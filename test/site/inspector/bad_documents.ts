import { Buffer } from "node:buffer";
import { decode, encode } from "cbor2";
import { decodeAttestationDocument } from "../../../lib/attestation/document.ts";

/** Document that is wrong in one way, by the check that it fails. */
export interface BadDocument {
  readonly check: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/**
 * Makes documents that each fail another check.
 *
 * @param good Document of a simulator, in its definite form
 */
export function badDocuments(good: Uint8Array<ArrayBuffer>): readonly BadDocument[] {
  const fields = decode(decodeAttestationDocument(good).payload) as Record<string, unknown>;
  const bundle = fields["cabundle"] as Uint8Array[];
  const change = (changes: object) => cose(new Uint8Array(encode({ ...fields, ...changes })));
  const { nonce: _, digest: __, ...lacking } = fields;
  return [
    { check: "TOO_LARGE", bytes: Uint8Array.from([0x84, 0xff, ...new Uint8Array(16_383)]) },
    { check: "CBOR", bytes: good.slice(0, -1) },
    { check: "DUPLICATE_KEY", bytes: cose(hex("a2616100616100")) },
    { check: "NOT_CANONICAL", bytes: Uint8Array.from([0x98, 4, ...good.slice(1)]) },
    { check: "TOO_DEEP", bytes: cose(hex(`${"81".repeat(40)}00`)) },
    { check: "COSE", bytes: cose(hex("80")) },
    { check: "ALGORITHM", bytes: cose(hex("a0"), hex("a1013826")) },
    { check: "FIELD_MISSING", bytes: cose(new Uint8Array(encode(lacking))) },
    { check: "FIELD", bytes: change({ digest: "SHA512" }) },
    { check: "CERTIFICATE", bytes: change({ certificate: Uint8Array.of(1, 2, 3) }) },
    { check: "CHAIN", bytes: change({ cabundle: [bundle[0], ...bundle.slice(1).toReversed()] }) },
    {
      check: "BASIC_CONSTRAINTS",
      bytes: change({ certificate: bundle.at(-1), cabundle: bundle.slice(0, -1) }),
    },
    { check: "SIGNATURE", bytes: good.with(-1, (good.at(-1) ?? 0) ^ 1) },
  ];
}

function hex(digits: string): Uint8Array {
  return new Uint8Array(Buffer.from(digits, "hex"));
}

function cose(payload: Uint8Array, header: Uint8Array = hex("a1013822")): Uint8Array<ArrayBuffer> {
  return new Uint8Array(encode([header, {}, payload, new Uint8Array(96).fill(1)]));
}
