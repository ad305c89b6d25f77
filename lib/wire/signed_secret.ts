/**
 * Secrets with a publisher's signature over their name, version and hash. KMS tells who may read a secret, not who
 * encrypted it: the signature tells who wrote it, under which name, and which one is newer.
 *
 * @module
 */
import { concatBytes, equalBytes, fromBase64 } from "../core/bytes.ts";
import { type CborItem, cborText, readCbor } from "../core/cbor.ts";
import { checkInteger } from "../core/checks.ts";
import { encodeCbor } from "../core/encode_cbor.ts";
import { SecretError } from "../core/secret_error.ts";

/** Form of a secret's name: letters, digits, `.`, `_` and `-`, at most 64 of them, a letter or digit first. */
export const SECRET_NAME: RegExp = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Statement of a publisher about one secret. */
export interface SecretStatement {
  /** Name that the enclave declares the secret under, of the form {@link SECRET_NAME}. */
  readonly name: string;
  /** Version, 0 to 2^53 - 1. The enclave refuses one below its least version. */
  readonly version: number;
  /** SHA-256 of the sealed bytes, 32 bytes. */
  readonly sha256: Uint8Array;
}

/** Sealed bytes with the statement of their publisher. */
export interface SignedSecret {
  /** Statement as it was sent. Nothing is known about it before {@link verifySignedSecret}. */
  readonly statement: SecretStatement;
  /** Signature of 64 bytes: r and s of ES256, or Ed25519's. */
  readonly signature: Uint8Array;
  /** Ciphertext, as KMS or age made it. */
  readonly sealed: Uint8Array;
}

/** Public key of a publisher, from {@link importPublisherKey}: a CryptoKey of the runtime. */
export type PublisherKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

/** Length of a signature by either algorithm, in bytes. */
export const SECRET_SIGNATURE_BYTES = 64;

/** First four bytes of a signed secret. No other form begins with them. */
export const SIGNED_SECRET_MAGIC: Uint8Array = Uint8Array.of(0x89, 0x45, 0x4b, 0x53);

/** Text that keeps these signatures apart from all others by the same key. */
const PURPOSE = "enclave-kms secret v1";

const SHA256_BYTES = 32;

/**
 * Writes the bytes that a publisher signs: deterministic CBOR of the purpose, name, version and hash.
 *
 * @param statement The statement
 * @returns The message
 * @throws {TypeError} When the name has another form, or the hash is not 32 bytes
 * @throws {RangeError} When the version is out of range
 */
export function secretStatementMessage(statement: SecretStatement): Uint8Array<ArrayBuffer> {
  const { name, version, sha256 } = checkSecretStatement(statement);
  return encodeCbor([PURPOSE, name, version, sha256]);
}

/**
 * Checks the form of a statement.
 *
 * @param statement The statement
 * @returns The same
 * @throws {TypeError} When the name has another form, or the hash is not 32 bytes
 * @throws {RangeError} When the version is out of range
 */
export function checkSecretStatement(statement: SecretStatement): SecretStatement {
  const { name, version, sha256 } = statement;
  if (typeof name !== "string" || !SECRET_NAME.test(name)) {
    throw new TypeError("name must have 1 to 64 letters, digits, `.`, `_` and `-`, a letter or digit first");
  }
  checkInteger("version", version, { min: 0, max: Number.MAX_SAFE_INTEGER });
  if (!(sha256 instanceof Uint8Array) || sha256.length !== SHA256_BYTES) {
    throw new TypeError("sha256 must be 32 bytes");
  }
  return statement;
}

/**
 * Joins a secret and its statement: the magic, then deterministic CBOR `[name, version, sha256, signature, sealed]`.
 *
 * @param parts Statement, signature of 64 bytes, and the sealed bytes
 * @returns The bytes to send
 * @throws {TypeError} When a part has another form
 */
export function encodeSignedSecret(parts: SignedSecret): Uint8Array<ArrayBuffer> {
  const { name, version, sha256 } = checkSecretStatement(parts.statement);
  if (parts.signature.length !== SECRET_SIGNATURE_BYTES) throw new TypeError("signature must be 64 bytes");
  return concatBytes([
    SIGNED_SECRET_MAGIC,
    encodeCbor([name, version, sha256, parts.signature, parts.sealed]),
  ]);
}

/**
 * Takes a signed secret apart. It has exactly one form: the one that {@link encodeSignedSecret} writes.
 *
 * @param bytes Bytes as they were sent
 * @returns Views of its parts, not verified; undefined when the bytes do not begin as a signed secret
 * @throws {SecretError} With the fault `FRAME`, when they begin as one and are none
 */
export function parseSignedSecret(bytes: Uint8Array): SignedSecret | undefined {
  const magicBytes = SIGNED_SECRET_MAGIC.length;
  if (!equalBytes(bytes.subarray(0, magicBytes), SIGNED_SECRET_MAGIC)) return undefined;
  const parsed = readParts(readCbor(bytes.subarray(magicBytes)));
  if (parsed !== undefined) return parsed;
  throw new SecretError("FRAME", "Cannot read signed secret: it is malformed", {
    hint: "Was it cut off, or made by another version?",
  });
}

/**
 * Verifies a signed secret: the hash is that of the sealed bytes, and the signature is by the publisher's key.
 *
 * @param secret The secret, from {@link parseSignedSecret}
 * @param publisher Key from {@link importPublisherKey}
 * @param sha256 SHA-256 of the sealed bytes. Default: it is computed, and WebCrypto may keep a copy of them
 * @returns Whether both hold. Name and version remain for the caller to compare
 */
export async function verifySignedSecret(
  secret: SignedSecret,
  publisher: PublisherKey,
  sha256?: Uint8Array,
): Promise<boolean> {
  const { statement, signature, sealed } = secret;
  const hash = sha256 ?? new Uint8Array(await crypto.subtle.digest("SHA-256", plain(sealed)));
  if (!equalBytes(hash, statement.sha256)) return false;
  const message = secretStatementMessage(statement);
  return await crypto.subtle.verify(verifying(publisher), publisher, plain(signature), message);
}

/**
 * Imports a publisher's public key.
 *
 * @param pem SubjectPublicKeyInfo in PEM, of a P-256 or an Ed25519 key: what `openssl pkey -pubout` writes
 * @returns Key that verifies, and does nothing else
 * @throws {TypeError} When it is anything else
 */
export async function importPublisherKey(pem: string): Promise<PublisherKey> {
  const body = typeof pem === "string" && pem.length <= MAX_PEM_LENGTH ? SPKI_PEM.exec(pem)?.[1] : undefined;
  const der = body === undefined ? undefined : fromBase64(body.replaceAll(/\s/g, ""));
  const kind = der === undefined ? undefined : KEYS.find(({ head, bytes }) => {
    return der.length === bytes && equalBytes(der.subarray(0, head.length), head);
  });
  if (der !== undefined && kind !== undefined) {
    try {
      const key = await crypto.subtle.importKey("spki", der, kind.algorithm, false, ["verify"]);
      // Deno looks at the point when a key is used, and not before.
      await crypto.subtle.verify(verifying(key), key, new Uint8Array(SECRET_SIGNATURE_BYTES), der);
      return key;
    } catch {
      // A point that is not on the curve; said below.
    }
  }
  throw new TypeError(
    "publisher must be the PEM of a P-256 or Ed25519 public key, as `openssl pkey -pubout` writes it",
  );
}

const MAX_PEM_LENGTH = 1024;
const SPKI_PEM = /^\s*-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]+?)\s+-----END PUBLIC KEY-----\s*$/;

/** SubjectPublicKeyInfo of one kind of key: the bytes before the key, and the length of the whole. */
interface PublicKeyForm {
  readonly algorithm: { readonly name: string; readonly namedCurve?: string };
  readonly head: Uint8Array;
  readonly bytes: number;
}

const KEYS: readonly PublicKeyForm[] = [
  {
    algorithm: { name: "ECDSA", namedCurve: "P-256" },
    head: fromBase64("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE")!,
    bytes: 91,
  },
  { algorithm: { name: "Ed25519" }, head: fromBase64("MCowBQYDK2VwAyEA")!, bytes: 44 },
];

function verifying({ algorithm: { name } }: PublisherKey): { name: string; hash?: string } {
  return name === "ECDSA" ? { name, hash: "SHA-256" } : { name };
}

function readParts(item: CborItem | undefined): SignedSecret | undefined {
  if (item?.type !== "array" || item.items.length !== 5) return undefined;
  const [nameItem, versionItem, hashItem, signatureItem, sealedItem] = item.items;
  const name = cborText(nameItem);
  const parts = [hashItem, signatureItem, sealedItem].map(bytesOf);
  const [sha256, signature, sealed] = parts;
  if (name === undefined || !SECRET_NAME.test(name) || versionItem?.type !== "unsigned") return undefined;
  if (sha256?.length !== SHA256_BYTES || signature?.length !== SECRET_SIGNATURE_BYTES || !sealed) {
    return undefined;
  }
  const statement = { name, version: versionItem.argument, sha256 };
  if (!Number.isSafeInteger(statement.version)) return undefined;
  const hasOneForm = [item, ...item.items].every((part) => part.isShortest && !part.isIndefinite);
  return hasOneForm ? { statement, signature, sealed } : undefined;
}

function bytesOf(item: CborItem | undefined): Uint8Array | undefined {
  return item?.type === "bytes" && !item.isIndefinite ? item.content : undefined;
}

/** Tells the compiler that bytes are not shared memory, which WebCrypto refuses. */
function plain(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes as Uint8Array<ArrayBuffer>;
}
