/**
 * Signatures of an enclave: a COSE_Sign1 message (RFC 9052) over a statement, by the key of the enclave's boot. Both
 * ends are here; the enclave's keeps its key to itself and hands in the act of signing.
 *
 * ```
 * [ bstr {1: alg, 3: "application/enclave-kms-signature+cbor"}, {}, bstr statement, bstr signature ]
 * statement = { "boot": 16 bytes, "time": ms since 1970, "sha256": 32 bytes, "purpose": text }
 * ```
 *
 * All of it is deterministic CBOR (RFC 8949, section 4.2.1), without a tag. The content type is signed and stands in
 * nothing else that an enclave signs, so that no other signature is taken for one of these, nor one for another purpose.
 *
 * @module
 */
import { equalBytes, toHex } from "../core/bytes.ts";
import { cborEntries, type CborItem, cborText, readCbor } from "../core/cbor.ts";
import { encodeCbor } from "../core/encode_cbor.ts";
import { type AttestationCheck, AttestationError } from "../core/errors.ts";
import { bootIdBytes } from "./boot_key_digest.ts";

/** Longest purpose of a signature, in characters. */
export const MAX_PURPOSE_LENGTH = 128;
/** Longest signature that is read, in bytes. */
export const MAX_ENCLAVE_SIGNATURE_BYTES = 512;

/** Content type of a signature by the key of a boot. */
export const SIGNATURE_CONTENT_TYPE = "application/enclave-kms-signature+cbor";
/** Content type of a signature by a key of KMS, which whoever holds the role can make without the enclave. */
export const UNATTESTED_CONTENT_TYPE = "application/enclave-kms-unattested-signature+cbor";

/** Algorithm of an enclave's signing key: ECDSA on P-256 with SHA-256, or Ed25519. */
export type SignatureAlgorithm = "ES256" | "EdDSA";

/** Algorithms, the default first. */
export const SIGNATURE_ALGORITHMS: readonly SignatureAlgorithm[] = ["ES256", "EdDSA"];

/** Statement that an enclave signs about data. */
export interface EnclaveStatement {
  /** Purpose that the application gave, 1 to 128 printable ASCII characters. */
  readonly purpose: string;
  /** Time of signing by the enclave's clock, milliseconds since 1970. */
  readonly timeMs: number;
  /** Boot id, 32 lowercase hex digits. */
  readonly bootId: string;
}

/** Signature, read but not verified. */
export interface SignatureMessage extends EnclaveStatement {
  /** Algorithm that its header names. */
  readonly algorithm: SignatureAlgorithm;
  /** SHA-256 of the data, 32 bytes. */
  readonly sha256: Uint8Array;
  /** Signature itself, 64 bytes. */
  readonly signature: Uint8Array<ArrayBuffer>;
}

/** Key to sign with, at its owner's. */
export interface Signer {
  /** Algorithm of the key. */
  readonly algorithm: SignatureAlgorithm;
  /** Content type in the header. Default: {@link SIGNATURE_CONTENT_TYPE}. */
  readonly contentType?: string;
  /** Signs bytes: 64 bytes, r and s or Ed25519's. */
  sign(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> | Promise<Uint8Array<ArrayBuffer>>;
}

/**
 * Makes a signature.
 *
 * @param statement Purpose, time and boot id
 * @param data Data to state it about
 * @param signer Key to sign with
 * @returns COSE_Sign1
 * @throws {TypeError} When the purpose or the boot id is of a wrong form
 * @throws {RangeError} When the purpose is empty or too long
 */
export async function makeEnclaveSignature(
  { purpose, timeMs, bootId }: EnclaveStatement,
  data: Uint8Array,
  { algorithm, contentType, sign }: Signer,
): Promise<Uint8Array<ArrayBuffer>> {
  const statement = { purpose: checkPurpose(purpose), timeMs, bootId, sha256: await sha256(data) };
  const header = protectedHeader(algorithm, contentType);
  const signature = await sign(sigStructure(header, statement));
  return encodeMessage(header, statement, signature);
}

/**
 * Checks a purpose.
 *
 * @param purpose 1 to 128 printable ASCII characters: texts that look alike are then the same
 * @returns The purpose
 * @throws {TypeError} When it is no string or has other characters
 * @throws {RangeError} When it is empty or too long
 */
export function checkPurpose(purpose: unknown): string {
  if (typeof purpose !== "string") throw new TypeError("purpose must be a string");
  if (purpose.length === 0 || purpose.length > MAX_PURPOSE_LENGTH) {
    throw new RangeError(`purpose must have 1 to ${MAX_PURPOSE_LENGTH} characters`);
  }
  if (PURPOSE.test(purpose)) return purpose;
  throw new TypeError("purpose must be printable ASCII");
}

/**
 * Reads a signature of the one form that {@link makeEnclaveSignature} writes, and verifies nothing.
 *
 * @param bytes COSE_Sign1, at most 512 bytes; not changed while the result is used
 * @returns Its statement and its parts
 * @throws {AttestationError} `ERR_ATTESTATION_TOO_LARGE`, `_CBOR`, `_COSE`, `_ALGORITHM` or `_NOT_CANONICAL`
 */
export function readEnclaveSignature(bytes: Uint8Array): SignatureMessage {
  if (bytes.length > MAX_ENCLAVE_SIGNATURE_BYTES) {
    throw refused("TOO_LARGE", `it has more than ${MAX_ENCLAVE_SIGNATURE_BYTES} bytes`);
  }
  const item = readCbor(bytes);
  if (item === undefined) throw refused("CBOR", "it is not one item of CBOR");
  const [header, unprotected, payload, signed] = item.items;
  const signature = bytesOf(signed, SIGNATURE_LENGTH);
  if (
    item.type !== "array" || item.items.length !== MESSAGE_LENGTH || header?.type !== "bytes" ||
    unprotected?.type !== "map" || unprotected.items.length > 0 || payload?.type !== "bytes" ||
    signature === undefined
  ) throw refused("COSE", "it is no untagged COSE_Sign1 with an empty unprotected header");
  const algorithm = SIGNATURE_ALGORITHMS.find((name) => equalBytes(header.content, protectedHeader(name)));
  if (algorithm === undefined) throw refused("ALGORITHM", "its header has another algorithm or content type");
  const message = { ...readStatement(payload.content), algorithm, signature };
  if (equalBytes(bytes, encodeMessage(header.content, message, signature))) return message;
  throw refused("NOT_CANONICAL", "it is not in its only form");
}

/**
 * Makes the bytes that a signature of an enclave is over.
 *
 * @param message Statement about data, and algorithm of the key
 * @returns Deterministic CBOR
 */
export function signedBytes(message: SignatureMessage): Uint8Array<ArrayBuffer> {
  return sigStructure(protectedHeader(message.algorithm), message);
}

/**
 * Makes the error of a failed check.
 *
 * @param check The check
 * @param what The finding
 * @returns The error, with the hint of its check
 */
export function refused(check: AttestationCheck, what: string): AttestationError {
  return new AttestationError(check, `Cannot verify enclave signature: ${what}`, {
    hint: HINTS[check] ?? "Is it a signature as an enclave's `signData` makes it, complete and unchanged?",
  });
}

const HINTS: Readonly<Partial<Record<AttestationCheck, string>>> = {
  PURPOSE: "Is it the signature of another answer? A signature counts for the purpose that it was made for",
  DATA: "Were the data changed on their way, or are they in another encoding than when they were signed?",
  BOOT: "Has the enclave been started anew? Keep the answer of its /v1/attestation beside its signatures",
  ALGORITHM: "Is it signed by the key of the enclave's boot, and by nothing else?",
  SIGNATURE: "Was it changed on its way?",
  PUBLIC_KEY:
    "Is the key on its curve, and does this runtime have its algorithm? Not every browser has Ed25519",
  FUTURE: "Is this clock behind? `at` sets the time to verify at",
  STALE: "Is it a replay, or kept for longer than `maxAgeMs` allows?",
};

/** Statement with the digest of its data. */
type FullStatement = EnclaveStatement & Pick<SignatureMessage, "sha256">;

const PURPOSE = /^[\x20-\x7e]+$/;
/** Numbers of algorithms in COSE: RFC 9053, section 2. */
const COSE_ALGORITHMS: Readonly<Record<SignatureAlgorithm, number>> = { ES256: -7, EdDSA: -8 };
/** Names of the header's members in COSE: RFC 9052, section 3.1. */
const ALGORITHM_LABEL = 1;
const CONTENT_TYPE_LABEL = 3;
const MESSAGE_LENGTH = 4;
const SIGNATURE_LENGTH = 64;
const SHA256_LENGTH = 32;
const BOOT_ID_LENGTH = 16;

function protectedHeader(
  algorithm: SignatureAlgorithm,
  contentType: string = SIGNATURE_CONTENT_TYPE,
): Uint8Array<ArrayBuffer> {
  return encodeCbor(
    new Map<number, string | number>([
      [ALGORITHM_LABEL, COSE_ALGORITHMS[algorithm]],
      [CONTENT_TYPE_LABEL, contentType],
    ]),
  );
}

function payloadOf({ purpose, timeMs, bootId, sha256 }: FullStatement): Uint8Array<ArrayBuffer> {
  return encodeCbor(
    new Map<string, string | number | Uint8Array>([
      ["boot", bootIdBytes(bootId)],
      ["time", timeMs],
      ["sha256", sha256],
      ["purpose", purpose],
    ]),
  );
}

/** Sig_structure of RFC 9052, section 4.4. */
function sigStructure(header: Uint8Array, statement: FullStatement): Uint8Array<ArrayBuffer> {
  return encodeCbor(["Signature1", header, new Uint8Array(), payloadOf(statement)]);
}

function encodeMessage(
  header: Uint8Array,
  statement: FullStatement,
  signature: Uint8Array,
): Uint8Array<ArrayBuffer> {
  return encodeCbor([header, new Map(), payloadOf(statement), signature]);
}

/** Reads the members by their names. Encoding them again tells whether they are all, and in their form. */
function readStatement(payload: Uint8Array): FullStatement {
  const map = readCbor(payload);
  const fields = new Map(
    map?.type === "map" ? cborEntries(map).map(([key, value]) => [cborText(key), value]) : [],
  );
  const [purpose, time] = [cborText(fields.get("purpose")), fields.get("time")];
  const boot = bytesOf(fields.get("boot"), BOOT_ID_LENGTH);
  const digest = bytesOf(fields.get("sha256"), SHA256_LENGTH);
  if (
    purpose === undefined || !PURPOSE.test(purpose) || purpose.length > MAX_PURPOSE_LENGTH ||
    time?.type !== "unsigned" || !Number.isSafeInteger(time.argument) || boot === undefined ||
    digest === undefined
  ) throw refused("COSE", "its payload is no statement of an enclave");
  return { purpose, timeMs: time.argument, bootId: toHex(boot), sha256: digest };
}

function bytesOf(item: CborItem | undefined, length: number): Uint8Array<ArrayBuffer> | undefined {
  return item?.type === "bytes" && item.content.length === length ? Uint8Array.from(item.content) : undefined;
}

/** Digests data. */
export async function sha256(data: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", data as Uint8Array<ArrayBuffer>));
}
