import { equalBytes, toHex } from "../core/bytes.ts";
import { checkFields, checkInteger } from "../core/checks.ts";
import {
  type BootAttestation,
  type BootAttestationAnswer,
  type BootAttestationOptions,
  checkBootOptions,
  parseBootAnswer,
  verifyBootAnswer,
} from "./boot_attestation.ts";
import { type AttestationDocument, decodeAttestationDocument } from "./document.ts";
import {
  checkPurpose,
  type EnclaveStatement,
  readEnclaveSignature,
  refused,
  sha256,
  type SignatureMessage,
  signedBytes,
} from "./signature_message.ts";
import { CLOCK_TOLERANCE_MS } from "./verify.ts";

/** Expectations of an enclave's signature. */
export interface VerifySignatureOptions extends Omit<BootAttestationOptions, "maxAgeMs"> {
  /** Answer of the enclave's `GET /v1/attestation`, as `JSON.parse` gives it: the keys, and the document for them. */
  readonly document: BootAttestationAnswer;
  /** Purpose that the signature must be for, 1 to 128 printable ASCII characters. */
  readonly purpose: string;
  /** Greatest age of the signature in milliseconds. */
  readonly maxAgeMs: number;
}

/** Verified statement of an enclave about data. */
export interface VerifiedSignature extends EnclaveStatement {
  /** Verified document of the enclave. */
  readonly document: AttestationDocument;
}

/**
 * Verifies that an enclave with given measurements signed these data for this purpose. It needs WebCrypto and nothing
 * else, and so runs in browsers, too (EdDSA where the browser has Ed25519).
 *
 * The document is verified as of the time of signing: one that was made before must have been valid then, and its
 * certificate lives three hours. One that was made since, by the same boot, is verified as of its own making, but not
 * after `at`. So a signature can be kept with a document of about its time, or be checked with a fresh one.
 *
 * Not guaranteed:
 * - that the data are new or unique: a signature verifies as often as it is shown. Put a number or a nonce into the data.
 * - the time, beyond the enclave's clock, which the host sets.
 * - that there is one signature for the data: anyone can turn an ECDSA signature into its equivalent twin.
 *
 * @param signature COSE_Sign1, at most 512 bytes
 * @param data Data that were signed, any number of bytes
 * @param options Expectations; `at` is the time that `maxAgeMs` counts back from. Default: now
 * @returns Purpose, time and boot id that the enclave signed, and its document
 * @throws {AttestationError} When a check fails; its `code` names the check: `ERR_ATTESTATION_PURPOSE`, `_DATA`, `_BOOT`,
 *   `_ALGORITHM`, `_SIGNATURE`, `_STALE`, `_FUTURE`; `_TOO_LARGE`, `_CBOR`, `_COSE` and `_NOT_CANONICAL` when it is no such
 *   signature; otherwise as {@link readBootAttestation}
 * @throws {TypeError} When an argument is of a wrong type, an option is missing or not known, or `pcrs` names no register
 * @throws {RangeError} When `purpose` is empty or too long, `maxAgeMs` is not a whole number from 0, or an expectation is
 *   empty
 */
export async function verifyEnclaveSignature(
  signature: Uint8Array,
  data: Uint8Array,
  options: VerifySignatureOptions,
): Promise<VerifiedSignature> {
  const { answer, purpose, maxAgeMs, at, expected } = checkOptions(options);
  if (!(signature instanceof Uint8Array)) throw new TypeError("The signature must be a Uint8Array");
  if (!(data instanceof Uint8Array)) throw new TypeError("The data must be a Uint8Array");
  const read = readEnclaveSignature(Uint8Array.from(signature));
  if (read.purpose !== purpose) throw refused("PURPOSE", "it is for another purpose");
  if (!equalBytes(read.sha256, await sha256(data))) throw refused("DATA", "it is over other data");
  const parsed = parseBootAnswer(answer);
  if (read.bootId !== parsed.bootId) throw refused("BOOT", "it is of another boot than the document");
  const { timestamp } = decodeAttestationDocument(parsed.document);
  const boot = await verifyBootAnswer(parsed, {
    ...expected,
    at: Math.max(read.timeMs, Math.min(timestamp, at)),
  });
  await checkSignature(read, boot);
  if (read.timeMs > at + CLOCK_TOLERANCE_MS) throw refused("FUTURE", "it is from the future");
  if (at - read.timeMs > maxAgeMs) throw refused("STALE", "it is too old");
  const { timeMs, bootId } = read;
  return { purpose, timeMs, bootId, document: boot.document };
}

const OPTIONS = ["document", "purpose", "maxAgeMs", "root", "at", "nonce", "pcrs", "allowDebug"];

function checkOptions(options: VerifySignatureOptions) {
  const given = checkFields("options of verifyEnclaveSignature", options, OPTIONS);
  const { document: answer, purpose, maxAgeMs, at = Date.now(), ...expected } = given;
  return {
    answer,
    at,
    purpose: checkPurpose(purpose),
    maxAgeMs: checkInteger("maxAgeMs", maxAgeMs, { min: 0, max: Number.MAX_SAFE_INTEGER }),
    expected: checkBootOptions({ ...expected, at }),
  };
}

/** Name of the signing key among those of the boot. */
const SIGNING_KEY = "sign";

/** Form of a key as SPKI DER (RFC 5480, RFC 8410), and its algorithm in WebCrypto. */
const KEYS = {
  ES256: {
    start: "3059301306072a8648ce3d020106082a8648ce3d03010703420004",
    length: 91,
    imported: { name: "ECDSA", namedCurve: "P-256" },
    used: { name: "ECDSA", hash: "SHA-256" },
  },
  EdDSA: {
    start: "302a300506032b6570032100",
    length: 44,
    imported: { name: "Ed25519" },
    used: { name: "Ed25519" },
  },
} as const;

/** Verifies with the algorithm of the key that the document vouches for; a signature's header must name the same. */
async function checkSignature(message: SignatureMessage, { keys }: BootAttestation): Promise<void> {
  const spki = keys[SIGNING_KEY];
  if (spki === undefined) throw refused("PUBLIC_KEY", "the enclave has no signing key");
  const { start, length } = KEYS[message.algorithm];
  if (spki.length !== length || !toHex(spki).startsWith(start)) {
    throw refused("ALGORITHM", "the enclave's signing key is of another algorithm");
  }
  if (await isSigned(spki, message)) return;
  throw refused("SIGNATURE", "the enclave's key did not make it");
}

/** Node.js refuses a point off the curve when it imports it, Deno when it verifies with it. */
async function isSigned(spki: Uint8Array<ArrayBuffer>, message: SignatureMessage): Promise<boolean> {
  const { imported, used } = KEYS[message.algorithm];
  try {
    const key = await crypto.subtle.importKey("spki", spki, imported, false, ["verify"]);
    return await crypto.subtle.verify(used, key, message.signature, signedBytes(message));
  } catch {
    throw refused("PUBLIC_KEY", "this runtime cannot use the enclave's signing key");
  }
}
