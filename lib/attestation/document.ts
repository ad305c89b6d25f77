import type { AttestationError } from "../core/errors.ts";
import { equalBytes } from "../core/bytes.ts";
import { cborEntries, type CborItem } from "../core/cbor.ts";
import {
  byteString,
  checkKnown,
  type DocumentFields,
  duplicateKey,
  isNull,
  malformed,
  MAX_KNOWN_HEIGHT,
  notCanonical,
  readFields,
  readItem,
  text,
  tooDeep,
} from "./document_items.ts";

/** Largest attestation document that is read, in bytes. */
export const MAX_ATTESTATION_DOCUMENT_BYTES = 16_384;

/**
 * Statement of a Nitro Secure Module about its enclave, with the signed parts to check it by.
 *
 * The fields are copies, or views into one private copy of the document.
 */
export interface AttestationDocument {
  /** Name of the module that made the document: `i-…-enc…`. */
  readonly moduleId: string;
  /** Hash function of the PCRs. */
  readonly digest: "SHA384";
  /** Time of making, milliseconds since 1970, by the hypervisor's clock. */
  readonly timestamp: number;
  /** Locked platform configuration registers by index (0 to 31): 32, 48 or 64 bytes each. */
  readonly pcrs: ReadonlyMap<number, Uint8Array<ArrayBuffer>>;
  /** Certificate of the key that signed the document, DER. */
  readonly certificate: Uint8Array<ArrayBuffer>;
  /** Certificates above it, DER, the root first. */
  readonly cabundle: readonly Uint8Array<ArrayBuffer>[];
  /** Public key that the enclave gave to the module: SPKI DER for KMS. */
  readonly publicKey: Uint8Array<ArrayBuffer> | undefined;
  /** Data that the enclave had signed. */
  readonly userData: Uint8Array<ArrayBuffer> | undefined;
  /** Nonce that the enclave had signed. */
  readonly nonce: Uint8Array<ArrayBuffer> | undefined;
  /**
   * Names of the fields that this version does not know, with all but printable ASCII escaped; they decide nothing.
   * Those that begin with `unprotected ` were not signed: anyone may have added them.
   */
  readonly unknownFields: readonly string[];
  /** COSE's protected header, CBOR. */
  readonly protectedHeader: Uint8Array<ArrayBuffer>;
  /** Signed payload, CBOR: the fields above, except those that are `unprotected`. */
  readonly payload: Uint8Array<ArrayBuffer>;
  /** ES384 signature, r and s, 96 bytes. */
  readonly signature: Uint8Array<ArrayBuffer>;
}

/**
 * Reads an attestation document: an untagged COSE_Sign1 with ES384.
 *
 * A document that could be read in two ways is refused: duplicate keys, strings in chunks, numbers and lengths that
 * are not in their shortest form, tags, bytes left over, fields that are missing or of another type. Forms that
 * cannot be misread are accepted, since AWS changes them: maps and the bundle of certificates may have an open
 * length, as the payload has since 2025, and absent fields may be null. Unknown fields may hold any well-formed CBOR,
 * at most 16 deep; their names stand in `unknownFields`.
 *
 * Not guaranteed: that anything in it is true. {@link verifyAttestation} checks that.
 *
 * @param bytes The document, at most {@link MAX_ATTESTATION_DOCUMENT_BYTES} bytes
 * @returns Its fields and signed parts
 * @throws {AttestationError} When it is not such a document: `ERR_ATTESTATION_` and `TOO_LARGE`, `CBOR`,
 *   `DUPLICATE_KEY`, `NOT_CANONICAL`, `TOO_DEEP`, `COSE`, `ALGORITHM`, `FIELD_MISSING` or `FIELD`, explained at
 *   {@link verifyAttestation}
 * @throws {TypeError} When `bytes` is not a Uint8Array
 * @example
 * ```ts
 * import { decodeAttestationDocument } from "enclave-kms/attestation";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * await using enclave = await startSimulator();
 * const document = decodeAttestationDocument(await enclave.nsm.attest());
 * document.pcrs.get(0)?.length; // 48
 * ```
 */
export function decodeAttestationDocument(bytes: Uint8Array): AttestationDocument {
  if (!(bytes instanceof Uint8Array)) throw new TypeError("Cannot read document: expected a Uint8Array");
  if (bytes.length > MAX_ATTESTATION_DOCUMENT_BYTES) {
    throw malformed("TOO_LARGE", `longer than ${MAX_ATTESTATION_DOCUMENT_BYTES} bytes`);
  }
  const { protectedHeader, payload, signature, unprotected } = readCoseSign1(new Uint8Array(bytes));
  const { unknownFields, ...fields } = readPayload(payload);
  return {
    ...fields,
    unknownFields: [...unknownFields, ...unprotected],
    protectedHeader,
    payload,
    signature,
  };
}

type Bytes = Uint8Array<ArrayBuffer>;

const COSE_SIGN1_LENGTH = 4;
/** Header `{1: -35}`: the algorithm is ES384. */
const ES384_HEADER = Uint8Array.of(0xa1, 0x01, 0x38, 0x22);
const ALGORITHM_LABEL = 1;
const ES384_SIGNATURE_LENGTH = 96;
const MAX_TEXT_LENGTH = 256;
/** Last time that a Date can hold: a later one throws a RangeError when it is formatted. */
const MAX_TIME_MS = 8_640_000_000_000_000;
const MAX_CABUNDLE_LENGTH = 8;
const MAX_PCRS = 32;
const PCR_LENGTHS = [32, 48, 64];
const FIELDS: ReadonlySet<string> = new Set([
  "module_id",
  "digest",
  "timestamp",
  "pcrs",
  "certificate",
  "cabundle",
  "public_key",
  "user_data",
  "nonce",
]);
/** Name of the registers in a document of a whole instance instead of an enclave. */
const NITRO_TPM_FIELD = "nitrotpm_pcrs";

function readCoseSign1(bytes: Bytes) {
  const cose = readItem(bytes);
  if (cose.type !== "array" || cose.items.length !== COSE_SIGN1_LENGTH) {
    if (cose.height > 1 + MAX_KNOWN_HEIGHT) throw tooDeep();
    throw malformed("COSE", "not an untagged COSE_Sign1");
  }
  if (!cose.isShortest || cose.isIndefinite) throw notCanonical();
  const [header, unprotected, payload, signature] = cose.items as [CborItem, CborItem, CborItem, CborItem];
  checkKnown(header);
  if (header.type !== "bytes") throw malformed("COSE", "the protected header is not a byte string");
  if (!equalBytes(header.content, ES384_HEADER)) throw malformed("ALGORITHM", "not signed by ES384");
  return {
    protectedHeader: ES384_HEADER.slice(),
    unprotected: unprotectedNames(unprotected),
    payload: byteString("COSE", payload, "payload", 1, MAX_ATTESTATION_DOCUMENT_BYTES),
    signature: byteString("COSE", signature, "signature", ES384_SIGNATURE_LENGTH, ES384_SIGNATURE_LENGTH),
  };
}

/** Names the unsigned fields. Their values are not read, but must not contradict the signed ones. */
function unprotectedNames(header: CborItem): string[] {
  if (header.type !== "map") throw malformed("COSE", "the unprotected header is not a map");
  const isAlgorithm = ({ type, argument }: CborItem) => type === "unsigned" && argument === ALGORITHM_LABEL;
  const { unknown } = readFields(header, new Set());
  if (cborEntries(header).some(([key]) => isAlgorithm(key))) throw duplicateKey();
  return unknown.map((name) => `unprotected ${name}`);
}

function readPayload(
  payload: Bytes,
): Omit<AttestationDocument, "protectedHeader" | "payload" | "signature"> {
  const map = readItem(payload);
  if (map.type !== "map") {
    if (map.height > 1 + MAX_KNOWN_HEIGHT) throw tooDeep();
    throw malformed("COSE", "the payload is not a map");
  }
  const { known: fields, unknown: unknownFields } = readFields(map, FIELDS);
  if (unknownFields.includes(NITRO_TPM_FIELD)) throw isOfNitroTpm(fields.has("pcrs"));
  return {
    moduleId: moduleId(fields),
    digest: digest(fields),
    timestamp: timestamp(fields),
    pcrs: pcrs(fields),
    certificate: byteString("FIELD", required(fields, "certificate"), "certificate", 1),
    cabundle: cabundle(fields),
    publicKey: optional(fields, "public_key"),
    userData: optional(fields, "user_data"),
    nonce: optional(fields, "nonce"),
    unknownFields,
  };
}

type Known = DocumentFields["known"];

function moduleId(fields: Known): string {
  const item = required(fields, "module_id");
  const value = item.type === "text" ? text(item) : "";
  if (value !== "" && value.length <= MAX_TEXT_LENGTH) return value;
  throw malformed("FIELD", `module_id is not a text of 1 to ${MAX_TEXT_LENGTH} characters`);
}

function digest(fields: Known): "SHA384" {
  const item = required(fields, "digest");
  if (item.type === "text" && text(item) === "SHA384") return "SHA384";
  throw malformed("FIELD", "digest is not SHA384");
}

function timestamp(fields: Known): number {
  const { type, argument } = required(fields, "timestamp");
  if (type === "unsigned" && argument > 0 && argument <= MAX_TIME_MS) return argument;
  throw malformed("FIELD", "timestamp is not a time in milliseconds since 1970");
}

function pcrs(fields: Known): ReadonlyMap<number, Bytes> {
  const registers = required(fields, "pcrs");
  if (registers.type !== "map" || registers.items.length === 0) {
    throw malformed("FIELD", "pcrs is not a map of registers");
  }
  const read = new Map<number, Bytes>();
  for (const [index, value] of cborEntries(registers)) {
    checkKnown(index);
    if (index.type !== "unsigned" || index.argument >= MAX_PCRS) {
      throw malformed("FIELD", "pcrs has an index that is not 0 to 31");
    }
    if (read.has(index.argument)) throw duplicateKey();
    const bytes = byteString("FIELD", value, "pcrs", 1);
    if (!PCR_LENGTHS.includes(bytes.length)) {
      throw malformed("FIELD", "pcrs has a register of a wrong length");
    }
    read.set(index.argument, bytes);
  }
  return read;
}

function cabundle(fields: Known): readonly Bytes[] {
  const { type, items } = required(fields, "cabundle");
  if (type !== "array" || items.length === 0 || items.length > MAX_CABUNDLE_LENGTH) {
    throw malformed("FIELD", `cabundle is not a list of 1 to ${MAX_CABUNDLE_LENGTH} certificates`);
  }
  return items.map((entry) => byteString("FIELD", entry, "cabundle", 1));
}

function required(fields: Known, name: string): CborItem {
  const item = fields.get(name);
  if (item === undefined) throw malformed("FIELD_MISSING", `${name} is missing`);
  checkKnown(item);
  return item;
}

function optional(fields: Known, name: string): Bytes | undefined {
  const item = fields.get(name);
  if (item === undefined || isNull(item)) return undefined;
  return byteString("FIELD", item, name, 0);
}

function isOfNitroTpm(hasPcrs: boolean): AttestationError {
  const what = `it is a NitroTPM's, not a Nitro Enclave's: it has ${NITRO_TPM_FIELD}${
    hasPcrs ? "" : " and no pcrs"
  }`;
  return malformed(hasPcrs ? "FIELD" : "FIELD_MISSING", what, NITRO_TPM_HINT);
}

const NITRO_TPM_HINT =
  "Was it asked of an instance's NitroTPM? Only documents that an enclave's own /dev/nsm made are read here";
