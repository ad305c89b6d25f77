import { decode } from "cbor2";
import { AttestationError } from "../errors.ts";

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
 * genuine document.
 *
 * Not guaranteed: that anything in it is true. {@link verifyAttestation} checks that.
 *
 * @param bytes The document, at most {@link MAX_DOCUMENT_LENGTH} bytes
 * @returns Its fields and signed parts
 * @throws {AttestationError} `ERR_ATTESTATION_FORMAT` when it is not such a document
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
  if (bytes.length > MAX_DOCUMENT_LENGTH) throw malformed(`longer than ${MAX_DOCUMENT_LENGTH} bytes`);
  const [protectedHeader, payload, signature] = readCoseSign1(new Uint8Array(bytes));
  return { ...readPayload(payload), protectedHeader, payload, signature };
}

type Bytes = Uint8Array<ArrayBuffer>;
type Fields = ReadonlyMap<unknown, unknown>;

const COSE_SIGN1_LENGTH = 4;
/** `{1: -35}`: the algorithm is ES384. */
const ES384_HEADER = [0xa1, 0x01, 0x38, 0x22];
const ES384_SIGNATURE_LENGTH = 96;
const MAX_TEXT_LENGTH = 256;
/** AWS says 1024 for certificates and the public key, 512 for the others; the device itself allows more. */
const MAX_FIELD_LENGTH = 4096;
const MAX_CABUNDLE_LENGTH = 8;
const MAX_PCRS = 32;
const PCR_LENGTHS = [32, 48, 64];
const MAX_DEPTH = 3;

function readCoseSign1(bytes: Bytes): [protectedHeader: Bytes, payload: Bytes, signature: Bytes] {
  const parts = decodeCbor(bytes);
  if (!Array.isArray(parts) || parts.length !== COSE_SIGN1_LENGTH) {
    throw malformed("not an untagged COSE_Sign1");
  }
  const [header, unprotected, payload, signature] = parts as unknown[];
  if (!(header instanceof Uint8Array) || !equalsEs384Header(header)) throw malformed("not signed by ES384");
  if (!(unprotected instanceof Map) || unprotected.size > 0) {
    throw malformed("the unprotected header is not empty");
  }
  return [
    own(header),
    byteString(payload, "payload", 1, MAX_DOCUMENT_LENGTH),
    byteString(signature, "signature", ES384_SIGNATURE_LENGTH, ES384_SIGNATURE_LENGTH),
  ];
}

function readPayload(
  payload: Bytes,
): Omit<AttestationDocument, "protectedHeader" | "payload" | "signature"> {
  const fields: unknown = decodeCbor(payload);
  if (!(fields instanceof Map)) throw malformed("the payload is not a map");
  return {
    moduleId: moduleId(fields),
    digest: digest(fields),
    timestamp: timestamp(fields),
    pcrs: pcrs(fields),
    certificate: byteString(fields.get("certificate"), "certificate", 1),
    cabundle: cabundle(fields),
    publicKey: optional(fields, "public_key"),
    userData: optional(fields, "user_data"),
    nonce: optional(fields, "nonce"),
  };
}

function moduleId(fields: Fields): string {
  const value = fields.get("module_id");
  if (typeof value === "string" && value !== "" && value.length <= MAX_TEXT_LENGTH) return value;
  throw malformed("module_id is not a text");
}

function digest(fields: Fields): "SHA384" {
  if (fields.get("digest") === "SHA384") return "SHA384";
  throw malformed("digest is not SHA384");
}

function timestamp(fields: Fields): number {
  const value = fields.get("timestamp");
  if (typeof value === "number" && Number.isSafeInteger(value) && value > 0) return value;
  throw malformed("timestamp is not a positive integer");
}

function pcrs(fields: Fields): ReadonlyMap<number, Bytes> {
  const registers = fields.get("pcrs");
  if (!(registers instanceof Map) || registers.size === 0) throw malformed("pcrs is not a map of registers");
  const read = new Map<number, Bytes>();
  for (const [index, value] of registers as Fields) {
    if (!Number.isInteger(index) || Number(index) < 0 || Number(index) >= MAX_PCRS) {
      throw malformed("pcrs has an index that is not 0 to 31");
    }
    const bytes = byteString(value, "pcrs", 1);
    if (!PCR_LENGTHS.includes(bytes.length)) throw malformed("pcrs has a register of a wrong length");
    read.set(Number(index), bytes);
  }
  return read;
}

function cabundle(fields: Fields): readonly Bytes[] {
  const list = fields.get("cabundle");
  if (!Array.isArray(list) || list.length === 0 || list.length > MAX_CABUNDLE_LENGTH) {
    throw malformed(`cabundle is not a list of 1 to ${MAX_CABUNDLE_LENGTH} certificates`);
  }
  return list.map((entry: unknown) => byteString(entry, "cabundle", 1));
}

function optional(fields: Fields, name: string): Bytes | undefined {
  const value = fields.get(name);
  return value === null || value === undefined ? undefined : byteString(value, name, 0);
}

function byteString(value: unknown, name: string, min: number, max = MAX_FIELD_LENGTH): Bytes {
  if (value instanceof Uint8Array && value.length >= min && value.length <= max) return own(value);
  throw malformed(`${name} is not a byte string of ${min} to ${max} bytes`);
}

function own(bytes: Uint8Array): Bytes {
  return bytes.buffer instanceof ArrayBuffer ? bytes as Bytes : new Uint8Array(bytes);
}

function equalsEs384Header(header: Uint8Array): boolean {
  return header.length === ES384_HEADER.length && ES384_HEADER.every((byte, i) => header[i] === byte);
}

function decodeCbor(bytes: Bytes): unknown {
  try {
    return decode(bytes, {
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
    });
  } catch {
    throw malformed("not the CBOR it should be");
  }
}

function malformed(what: string): AttestationError {
  return new AttestationError("FORMAT", `Cannot read attestation document: ${what}`, {
    hint: "Is this an attestation document of a Nitro Enclave, complete and unchanged?",
  });
}
