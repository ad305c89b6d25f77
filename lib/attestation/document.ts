import { decode, type DecodeOptions } from "cbor2";
import { type AttestationCheck, AttestationError } from "../errors.ts";
import { equalBytes } from "./bytes.ts";

/** The largest attestation document that is read, in bytes. */
export const MAX_DOCUMENT_LENGTH = 16_384;

/**
 * What a Nitro Secure Module says of its enclave, and the signed parts to check it by.
 *
 * The fields are views into one private copy of the document.
 */
export interface AttestationDocument {
  /** The module that made the document: `i-…-enc…`. */
  readonly moduleId: string;
  /** The hash function of the PCRs. */
  readonly digest: "SHA384";
  /** When the document was made, milliseconds since 1970, by the hypervisor's clock. */
  readonly timestamp: number;
  /** The locked platform configuration registers by index (0 to 31): 32, 48 or 64 bytes each. */
  readonly pcrs: ReadonlyMap<number, Uint8Array<ArrayBuffer>>;
  /** The certificate of the key that signed the document, DER. */
  readonly certificate: Uint8Array<ArrayBuffer>;
  /** The certificates above it, DER, the root first. */
  readonly cabundle: readonly Uint8Array<ArrayBuffer>[];
  /** The enclave's public key, as it gave it to the module: SPKI DER for KMS. */
  readonly publicKey: Uint8Array<ArrayBuffer> | undefined;
  /** Data that the enclave had signed. */
  readonly userData: Uint8Array<ArrayBuffer> | undefined;
  /** The nonce that the enclave had signed. */
  readonly nonce: Uint8Array<ArrayBuffer> | undefined;
  /** COSE's protected header, CBOR. */
  readonly protectedHeader: Uint8Array<ArrayBuffer>;
  /** The signed payload, CBOR: all the fields above it here. */
  readonly payload: Uint8Array<ArrayBuffer>;
  /** The ES384 signature, r and s, 96 bytes. */
  readonly signature: Uint8Array<ArrayBuffer>;
}

/**
 * Reads an attestation document, strictly: an untagged COSE_Sign1 with ES384 and nothing in its unprotected
 * header, shortest CBOR encodings, no duplicate keys, nothing left over. Absent fields may be null, as in every
 * genuine document; fields that are not known are ignored, as AWS may add some.
 *
 * Not guaranteed: that anything in it is true. {@link verifyAttestation} checks that.
 *
 * @param bytes The document, at most {@link MAX_DOCUMENT_LENGTH} bytes
 * @returns Its fields and signed parts
 * @throws {AttestationError} When it is not such a document: `ERR_ATTESTATION_` and `TOO_LARGE`, `CBOR`,
 *   `DUPLICATE_KEY`, `NOT_CANONICAL`, `TOO_DEEP`, `COSE`, `ALGORITHM`, `FIELD_MISSING` or `FIELD`, explained at
 *   {@link verifyAttestation}
 * @throws {TypeError} When `bytes` is not a Uint8Array
 * @example
 * ```ts
 * import { decodeAttestationDocument } from "enclave-kms";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * await using enclave = await startSimulator();
 * const document = decodeAttestationDocument(await enclave.nsm.attest());
 * document.pcrs.get(0)?.length; // 48
 * ```
 */
export function decodeAttestationDocument(bytes: Uint8Array): AttestationDocument {
  if (!(bytes instanceof Uint8Array)) throw new TypeError("Cannot read document: expected a Uint8Array");
  if (bytes.length > MAX_DOCUMENT_LENGTH) {
    throw malformed("TOO_LARGE", `longer than ${MAX_DOCUMENT_LENGTH} bytes`);
  }
  const [protectedHeader, payload, signature] = readCoseSign1(new Uint8Array(bytes));
  return { ...readPayload(payload), protectedHeader, payload, signature };
}

type Bytes = Uint8Array<ArrayBuffer>;
type Fields = ReadonlyMap<unknown, unknown>;

const COSE_SIGN1_LENGTH = 4;
/** `{1: -35}`: the algorithm is ES384. */
const ES384_HEADER = Uint8Array.of(0xa1, 0x01, 0x38, 0x22);
const ES384_SIGNATURE_LENGTH = 96;
const MAX_TEXT_LENGTH = 256;
/** AWS says 1024 for certificates and the public key, 512 for the others; the device itself allows more. */
const MAX_FIELD_LENGTH = 4096;
const MAX_CABUNDLE_LENGTH = 8;
const MAX_PCRS = 32;
const PCR_LENGTHS = [32, 48, 64];
const MAX_DEPTH = 3;
/** What is deeper yet is not looked into: the decoder takes time by the square of the depth, and stack. */
const MAX_EXPLAINED_DEPTH = 64;

function readCoseSign1(bytes: Bytes): [protectedHeader: Bytes, payload: Bytes, signature: Bytes] {
  const parts = decodeCbor(bytes);
  if (!Array.isArray(parts) || parts.length !== COSE_SIGN1_LENGTH) {
    throw malformed("COSE", "not an untagged COSE_Sign1");
  }
  const [header, unprotected, payload, signature] = parts as unknown[];
  if (!(header instanceof Uint8Array)) throw malformed("COSE", "the protected header is not a byte string");
  if (!equalBytes(header, ES384_HEADER)) throw malformed("ALGORITHM", "not signed by ES384");
  if (!(unprotected instanceof Map) || unprotected.size > 0) {
    throw malformed("COSE", "the unprotected header is not empty");
  }
  return [
    own(header),
    byteString("COSE", payload, "payload", 1, MAX_DOCUMENT_LENGTH),
    byteString("COSE", signature, "signature", ES384_SIGNATURE_LENGTH, ES384_SIGNATURE_LENGTH),
  ];
}

function readPayload(
  payload: Bytes,
): Omit<AttestationDocument, "protectedHeader" | "payload" | "signature"> {
  const fields: unknown = decodeCbor(payload);
  if (!(fields instanceof Map)) throw malformed("COSE", "the payload is not a map");
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
  };
}

function moduleId(fields: Fields): string {
  const value = required(fields, "module_id");
  if (typeof value === "string" && value !== "" && value.length <= MAX_TEXT_LENGTH) return value;
  throw malformed("FIELD", `module_id is not a text of 1 to ${MAX_TEXT_LENGTH} characters`);
}

function digest(fields: Fields): "SHA384" {
  if (required(fields, "digest") === "SHA384") return "SHA384";
  throw malformed("FIELD", "digest is not SHA384");
}

function timestamp(fields: Fields): number {
  const value = required(fields, "timestamp");
  if (typeof value === "number" && Number.isSafeInteger(value) && value > 0) return value;
  throw malformed("FIELD", "timestamp is not a positive integer");
}

function pcrs(fields: Fields): ReadonlyMap<number, Bytes> {
  const registers = required(fields, "pcrs");
  if (!(registers instanceof Map) || registers.size === 0) {
    throw malformed("FIELD", "pcrs is not a map of registers");
  }
  const read = new Map<number, Bytes>();
  for (const [index, value] of registers as Fields) {
    if (!Number.isInteger(index) || Number(index) < 0 || Number(index) >= MAX_PCRS) {
      throw malformed("FIELD", "pcrs has an index that is not 0 to 31");
    }
    const bytes = byteString("FIELD", value, "pcrs", 1);
    if (!PCR_LENGTHS.includes(bytes.length)) {
      throw malformed("FIELD", "pcrs has a register of a wrong length");
    }
    read.set(Number(index), bytes);
  }
  return read;
}

function cabundle(fields: Fields): readonly Bytes[] {
  const list = required(fields, "cabundle");
  if (!Array.isArray(list) || list.length === 0 || list.length > MAX_CABUNDLE_LENGTH) {
    throw malformed("FIELD", `cabundle is not a list of 1 to ${MAX_CABUNDLE_LENGTH} certificates`);
  }
  return list.map((entry: unknown) => byteString("FIELD", entry, "cabundle", 1));
}

function required(fields: Fields, name: string): unknown {
  if (!fields.has(name)) throw malformed("FIELD_MISSING", `${name} is missing`);
  return fields.get(name);
}

function optional(fields: Fields, name: string): Bytes | undefined {
  const value = fields.get(name);
  return value === null || value === undefined ? undefined : byteString("FIELD", value, name, 0);
}

function byteString(
  check: AttestationCheck,
  value: unknown,
  name: string,
  min: number,
  max = MAX_FIELD_LENGTH,
): Bytes {
  if (value instanceof Uint8Array && value.length >= min && value.length <= max) return own(value);
  throw malformed(check, `${name} is not a byte string of ${min} to ${max} bytes`);
}

function own(bytes: Uint8Array): Bytes {
  return bytes.buffer instanceof ArrayBuffer ? bytes as Bytes : new Uint8Array(bytes);
}

const STRICT: DecodeOptions = {
  maxDepth: MAX_DEPTH,
  preferMap: true,
  ignoreGlobalTags: true,
  requirePreferred: true,
  rejectDuplicateKeys: true,
  rejectStreaming: true,
  rejectFloats: true,
  rejectSimple: true,
  rejectUndefined: true,
  rejectBigInts: true,
};

/** What is wrong with CBOR that can be read once this is allowed. */
const RELAXATIONS: readonly (readonly [check: AttestationCheck, what: string, allowed: DecodeOptions])[] = [
  ["DUPLICATE_KEY", "a key is there twice", { rejectDuplicateKeys: false }],
  ["NOT_CANONICAL", "something is not in its shortest form", {
    requirePreferred: false,
    rejectStreaming: false,
  }],
  ["TOO_DEEP", "it is nested too deeply", { maxDepth: MAX_EXPLAINED_DEPTH }],
];

function decodeCbor(bytes: Bytes): unknown {
  const [value] = tryDecode(bytes, STRICT);
  if (value !== undefined) return value;
  const fault = RELAXATIONS.find(([, , allowed]) => tryDecode(bytes, { ...STRICT, ...allowed }).length > 0);
  throw fault ? malformed(fault[0], fault[1]) : malformed("CBOR", "not one item of CBOR");
}

/** The value, which is never undefined, or nothing. */
function tryDecode(bytes: Bytes, options: DecodeOptions): [] | [unknown] {
  try {
    return [decode(bytes, options)];
  } catch {
    return [];
  }
}

function malformed(check: AttestationCheck, what: string): AttestationError {
  return new AttestationError(check, `Cannot read attestation document: ${what}`, {
    hint: HINTS[check] ?? IS_IT,
  });
}

const IS_IT = "Is this an attestation document of a Nitro Enclave, complete and unchanged?";

const HINTS: Readonly<Partial<Record<AttestationCheck, string>>> = {
  CBOR: "Is it the document's bytes, neither its base64 nor its hex, complete and unchanged?",
  COSE: "Is it the whole document, not its payload, and without a COSE tag?",
  ALGORITHM: "Nitro Enclaves sign by ES384: is this document from something else?",
};
