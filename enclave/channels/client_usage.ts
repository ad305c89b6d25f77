import { DerReader, TAG } from "../../lib/attestation/der.ts";
import { equalBytes, toHex } from "../../lib/core/bytes.ts";

/** Parts of a certificate's extensions that say what its key is for. */
export interface CertificateUsage {
  /** First byte of the key usage; undefined without the extension. */
  readonly keyUsage?: number;
  /** Purposes of the extended key usage, hex of their object identifiers; undefined without the extension. */
  readonly usages?: readonly string[];
}

/** Extensions that may be critical: those that are read here, or by the runtime, and names, which decide nothing. */
const KNOWN: readonly string[] = ["551d13", "551d0f", "551d25", "551d11", "551d0e", "551d23"];

/**
 * Reads what the key of a certificate is for.
 *
 * @param der One certificate of version 3, DER; no signature is verified
 * @returns Its uses
 * @throws {AttestationError} `ERR_ATTESTATION_CERTIFICATE` when it is not DER
 * @throws {TypeError} When it is of another version, names two algorithms, or has a critical extension that is not known
 */
export function readUsage(der: Uint8Array<ArrayBuffer>): CertificateUsage {
  const outer = new DerReader(der);
  const certificate = outer.enter(TAG.sequence);
  outer.finish();
  const fields = certificate.enter(TAG.sequence);
  if (toHex(fields.contents(VERSION)) !== VERSION_3) throw new TypeError("not version 3");
  fields.element(TAG.integer);
  const algorithm = fields.element(TAG.sequence);
  // Deno looks at one of the two. The other is not signed, and would make other bytes of the same certificate.
  if (!equalBytes(certificate.element(TAG.sequence), algorithm)) throw new TypeError("two algorithms");
  certificate.wholeBytes();
  certificate.finish();
  for (let skipped = 0; skipped < FIELDS_BEFORE_EXTENSIONS; skipped++) fields.element(TAG.sequence);
  if (fields.done) return {};
  const extensions = fields.enter(EXTENSIONS).enter(TAG.sequence);
  fields.finish();
  return readExtensions(extensions);
}

function readExtensions(list: DerReader): CertificateUsage {
  const found: { keyUsage?: number; usages?: readonly string[] } = {};
  while (!list.done) {
    const extension = list.enter(TAG.sequence);
    const id = toHex(extension.contents(TAG.oid));
    const isCritical = extension.nextIs(TAG.boolean) && extension.boolean();
    const value = new DerReader(extension.contents(TAG.octetString));
    if (isCritical && !KNOWN.includes(id)) throw new TypeError("a critical extension that is not known");
    if (id === KEY_USAGE) found.keyUsage = readBits(value);
    if (id === EXTENDED_KEY_USAGE) found.usages = readPurposes(value.enter(TAG.sequence));
    if (id === KEY_USAGE || id === EXTENDED_KEY_USAGE) value.finish();
  }
  return found;
}

function readBits(value: DerReader): number {
  const [unused = 8, bits = 0] = value.contents(TAG.bitString);
  if (unused > 7) throw new TypeError("a malformed key usage");
  return bits;
}

function readPurposes(list: DerReader): readonly string[] {
  const purposes: string[] = [];
  while (!list.done) purposes.push(toHex(list.contents(TAG.oid)));
  return purposes;
}

const KEY_USAGE = "551d0f";
const EXTENDED_KEY_USAGE = "551d25";
const VERSION = 0xa0;
const VERSION_3 = "020102";
/** Issuer, validity, subject and key. */
const FIELDS_BEFORE_EXTENSIONS = 4;
const EXTENSIONS = 0xa3;
