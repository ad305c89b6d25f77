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
  const certificate = fields["certificate"] as Uint8Array;
  const second = (from: string, to: string) =>
    change({ cabundle: bundle.map((der, index) => index === 1 ? patch(der, from, to) : der) });
  const { digest: _, ...lacking } = fields;
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
    { check: "CRITICAL_EXTENSION", bytes: second("551d0f0101ff", "551d630101ff") },
    { check: "PATH_LENGTH", bytes: second("30060101ff020102", "30060101ff020100") },
    { check: "KEY_USAGE", bytes: change({ certificate: patch(certificate, "03020780", "03020106") }) },
    { check: "SIGNATURE", bytes: good.with(-1, (good.at(-1) ?? 0) ^ 1) },
  ];
}

/** Replaces bytes of a certificate by as many others, both as hex. */
function patch(der: Uint8Array, from: string, to: string): Uint8Array {
  const digits = Buffer.from(der).toString("hex");
  if (digits.split(from).length !== 2) throw new Error(`${from} is not there once`);
  return hex(digits.replace(from, to));
}

function hex(digits: string): Uint8Array {
  return new Uint8Array(Buffer.from(digits, "hex"));
}

function cose(payload: Uint8Array, header: Uint8Array = hex("a1013822")): Uint8Array<ArrayBuffer> {
  return new Uint8Array(encode([header, {}, payload, new Uint8Array(96).fill(1)]));
}
