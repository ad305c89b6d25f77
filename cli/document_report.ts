import type { AttestationDocument } from "../lib/attestation/document.ts";
import { encodeBase64, encodeHex } from "../lib/core/encoding.ts";
import type { Expectations, Verdict } from "./attestation/check_evidence.ts";
import { describeExpectations, printable, verdictOf } from "./attestation/document_summary.ts";
import type { Terminal } from "./terminal.ts";

/** Most unknown fields that are shown. A document may have thousands; no check depends on them. */
const MAX_FIELDS_SHOWN = 16;

/**
 * Makes a table of a document for people.
 *
 * @param document The decoded document
 * @param verdict Outcome of the checks
 * @param expected Expectations that were checked
 * @param terminal Knows whether to colour
 */
export function describeDocument(
  document: AttestationDocument,
  verdict: Verdict,
  expected: Expectations,
  terminal: Terminal,
): string {
  const { moduleId, timestamp, digest, pcrs, cabundle, publicKey, userData, nonce, unknownFields } = document;
  const { failure, readAs, bootId, tls } = verdict;
  const rows: readonly (readonly [string, string])[] = [
    ["Document", terminal.paint(failure === undefined ? "good" : "bad", verdictOf(failure))],
    ["Expected", describeExpectations(expected)],
    ["Read as", readAs],
    ...(tls === undefined ? [] : [["TLS", tls] as const]),
    ...(bootId === undefined ? [] : [["Boot", bootId] as const]),
    ["Module", printable(moduleId)],
    ["Made", new Date(timestamp).toISOString()],
    ["Certificates", `${cabundle.length + 1}`],
    ["Public key", describeBytes(publicKey)],
    ["User data", describeBytes(userData)],
    ["Nonce", describeBytes(nonce)],
    ...registers(pcrs, digest),
    ...(unknownFields.length === 0
      ? []
      : [["Also", unknownFields.slice(0, MAX_FIELDS_SHOWN).join(", ")] as const]),
  ];
  return `${rows.map(([name, value]) => `${name.padEnd(13)} ${value}`).join("\n")}\n`;
}

/**
 * Makes the report that `--json` prints.
 *
 * @param verdict Outcome of the checks
 */
export function documentJson({ document, failure, readAs, bootId, tls }: Verdict): Record<string, unknown> {
  return {
    verified: failure === undefined,
    ...(failure === undefined ? {} : { code: failure.code, message: failure.message, hint: failure.hint }),
    readAs,
    ...(bootId === undefined ? {} : { bootId }),
    ...(tls === undefined ? {} : { tls }),
    ...(document === undefined ? {} : {
      document: {
        moduleId: document.moduleId,
        timestamp: document.timestamp,
        digest: document.digest,
        pcrs: Object.fromEntries([...document.pcrs].map(([index, value]) => [index, encodeHex(value)])),
        certificate: encodeBase64(document.certificate),
        cabundle: document.cabundle.map(encodeBase64),
        publicKey: base64OrNull(document.publicKey),
        userData: base64OrNull(document.userData),
        nonce: base64OrNull(document.nonce),
        unknownFields: document.unknownFields,
      },
    }),
  };
}

/** Makes a row for each register that is not all zero, and one row for all others. */
function registers(
  pcrs: AttestationDocument["pcrs"],
  digest: string,
): readonly (readonly [string, string])[] {
  const zero = [...pcrs].filter(([, value]) => value.every((byte) => byte === 0)).map(([index]) => index);
  return [
    ...[...pcrs].filter(([index]) => !zero.includes(index))
      .map(([index, value]) => [`PCR${index}`, encodeHex(value)] as const),
    ...(zero.length === 0 ? [] : [["Zero PCRs", zero.join(", ")] as const]),
    ["Digest", digest],
  ];
}

/** Shows the first 24 bytes in hex, and as text where all are printable. */
function describeBytes(bytes: Uint8Array | undefined): string {
  if (bytes === undefined) return "none";
  const shown = encodeHex(bytes.subarray(0, 24));
  const text = new TextDecoder("latin1").decode(bytes.subarray(0, 24));
  const quoted = /^[\x20-\x7e]+$/.test(text) ? ` ${JSON.stringify(text)}` : "";
  return `${bytes.length} ${bytes.length === 1 ? "byte" : "bytes"}, ${shown}${
    bytes.length > 24 ? "…" : ""
  }${quoted}`;
}

function base64OrNull(bytes: Uint8Array | undefined): string | null {
  return bytes === undefined ? null : encodeBase64(bytes);
}
