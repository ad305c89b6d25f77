import { fromBase64 } from "../core/bytes.ts";
import { checkFields, checkRecord } from "../core/checks.ts";
import { type AttestationCheck, AttestationError } from "../core/errors.ts";
import {
  bootIdBytes,
  checkBootKey,
  digestBootKeys,
  MAX_BOOT_KEY_BYTES,
  MAX_BOOT_KEYS,
} from "./boot_key_digest.ts";
import { type AttestationDocument, MAX_ATTESTATION_DOCUMENT_BYTES } from "./document.ts";
import { checkVerifyOptions, verifyAttestation, type VerifyAttestationOptions } from "./verify.ts";

/** Longest certificate and longest sealing configuration of an answer, in characters. */
const MAX_PART_LENGTH = 32_768;

/** Answer of an enclave's `GET /v1/attestation`, as JSON. */
export interface BootAttestationAnswer {
  /** Attestation document in base64. Its user data are the digest of `bootId` and `keys`: `digestBootKeys()`. */
  readonly document: string;
  /** Boot id, 32 lowercase hex digits. */
  readonly bootId: string;
  /** Public keys of this boot by name, in base64. */
  readonly keys: Readonly<Record<string, string>>;
  /** Certificate of the enclave's own TLS, PEM. */
  readonly certificate?: string;
  /** Key configuration of sealed HTTP (RFC 9458, section 3), in base64. */
  readonly sealing?: string;
}

/** Public keys of an enclave's boot, which an attestation document vouches for. */
export interface BootAttestation {
  /** Verified document. */
  readonly document: AttestationDocument;
  /** Boot id, 32 lowercase hex digits: another one after each start of the enclave. */
  readonly bootId: string;
  /** Keys by name, 1 to 32 of 1 to 8192 bytes each: an object without a prototype. */
  readonly keys: Readonly<Record<string, Uint8Array<ArrayBuffer>>>;
  /** Certificate as the answer has it, PEM. Nothing vouches for it but its key being `keys.tls`: compare them. */
  readonly certificate?: string;
  /** Key configuration as the answer has it. Nothing vouches for it but its key being `keys.seal`: compare them. */
  readonly sealing?: Uint8Array<ArrayBuffer>;
}

/** Expectations of a document that vouches for the keys of a boot. Its user data are the digest of the keys. */
export interface BootAttestationOptions extends Omit<VerifyAttestationOptions, "userData" | "publicKey"> {
  /** At least one register: without one, the keys could be those of any enclave of anyone. */
  readonly pcrs: NonNullable<VerifyAttestationOptions["pcrs"]>;
}

/**
 * Reads the answer of `GET /v1/attestation`, and verifies that its document vouches for its keys and its boot id.
 *
 * Not guaranteed: that the enclave lives still, or that the answer is new. That takes a fresh `nonce`. Nor is anything
 * true of `certificate` and `sealing` but what the caller compares with `keys`.
 *
 * @param answer Answer as `JSON.parse` gives it; untrusted. Members that are not known are refused
 * @param options Expectations of the document, as for {@link verifyAttestation}
 * @returns The keys, and the document that vouches for them
 * @throws {AttestationError} `ERR_ATTESTATION_FIELD_MISSING`, `_FIELD` or `_TOO_LARGE` when it is no such answer;
 *   `ERR_ATTESTATION_USER_DATA` when the document vouches for other keys or another boot id; as
 *   {@link verifyAttestation} otherwise
 * @throws {TypeError} When an option is unknown or of a wrong type, or `pcrs` is missing or names no register
 * @throws {RangeError} When an expectation is empty or out of range
 * @example
 * ```ts
 * import { encodeBase64 } from "enclave-kms";
 * import { digestBootKeys, readBootAttestation } from "enclave-kms/attestation";
 * import { SoftwareNsm } from "enclave-kms/sim";
 *
 * using nsm = await SoftwareNsm.create();
 * const nonce = crypto.getRandomValues(new Uint8Array(32));
 *
 * // In the enclave, which answers so by itself:
 * const [bootId, key] = ["00112233445566778899aabbccddeeff", new Uint8Array([1, 2, 3])];
 * const document = await nsm.attest({ nonce, userData: await digestBootKeys(bootId, { sign: key }) });
 * const answer = { document: encodeBase64(document), bootId, keys: { sign: encodeBase64(key) } };
 *
 * // At the caller: `root` is for the simulator only.
 * const boot = await readBootAttestation(answer, { nonce, pcrs: { 0: nsm.pcr(0) }, root: nsm.root });
 * boot.keys["sign"]; // Uint8Array [1, 2, 3]
 * ```
 */
export async function readBootAttestation(
  answer: unknown,
  options: BootAttestationOptions,
): Promise<BootAttestation> {
  return await verifyBootAnswer(parseBootAnswer(answer), checkBootOptions(options));
}

/** Answer in its form, with nothing verified. */
export interface ParsedBootAnswer extends Omit<BootAttestation, "document"> {
  /** Document as it came, 1 byte to 16 KiB. */
  readonly document: Uint8Array<ArrayBuffer>;
}

/**
 * Checks the form of an answer.
 *
 * @param answer Answer as `JSON.parse` gives it
 * @returns Its parts, decoded
 * @throws {AttestationError} `ERR_ATTESTATION_FIELD_MISSING`, `_FIELD` or `_TOO_LARGE`
 */
export function parseBootAnswer(answer: unknown): ParsedBootAnswer {
  const { document, bootId, keys, certificate, sealing } = knownMembers(answer);
  if (certificate !== undefined) checkLength("certificate", certificate, MAX_PART_LENGTH);
  return {
    document: base64("document", document, MAX_ATTESTATION_DOCUMENT_BYTES),
    bootId: readBootId(bootId),
    keys: readKeys(keys),
    ...(certificate !== undefined && { certificate: certificate as string }),
    ...(sealing !== undefined && { sealing: base64("sealing", sealing, MAX_PART_LENGTH / 4 * 3) }),
  };
}

/**
 * Verifies that a document vouches for the keys beside it.
 *
 * @param answer Parsed answer
 * @param options Checked expectations
 * @returns The keys, and the document that vouches for them
 * @throws {AttestationError} As {@link verifyAttestation}
 */
export async function verifyBootAnswer(
  answer: ParsedBootAnswer,
  options: BootAttestationOptions,
): Promise<BootAttestation> {
  const userData = await digestBootKeys(answer.bootId, answer.keys);
  return { ...answer, document: await verifyAttestation(answer.document, { ...options, userData }) };
}

/**
 * Checks that options have no expectation that is not of this answer, and PCRs.
 *
 * @param options Expectations
 * @returns A frozen copy
 * @throws {TypeError} When one is unknown or of a wrong type, or `pcrs` is missing or names no register
 * @throws {RangeError} When one is empty or out of range
 */
export function checkBootOptions(options: BootAttestationOptions): BootAttestationOptions {
  const given = checkFields("options of readBootAttestation", options, BOOT_OPTIONS);
  if (given.pcrs === undefined) {
    throw new TypeError("pcrs must name a register: the keys could be those of any enclave of anyone");
  }
  checkVerifyOptions(given);
  return given;
}

const BOOT_OPTIONS = ["root", "at", "maxAgeMs", "nonce", "pcrs", "allowDebug"];
const MEMBERS = ["document", "bootId", "keys", "certificate", "sealing"] as const;
const OPTIONAL_MEMBERS: readonly string[] = ["certificate", "sealing"];

type Members = Readonly<Partial<Record<typeof MEMBERS[number], unknown>>>;

function knownMembers(answer: unknown): Members {
  const members = inForm("it is no JSON object", () => Object.fromEntries(checkRecord("answer", answer)));
  const unknown = Object.keys(members).find((name) => !MEMBERS.some((member) => member === name));
  if (unknown !== undefined) throw wrong("FIELD", `it has a member ${printable(unknown)} that is not known`);
  const missing = MEMBERS.find((name) => members[name] === undefined && !OPTIONAL_MEMBERS.includes(name));
  if (missing !== undefined) throw wrong("FIELD_MISSING", `it has no ${missing}`);
  return members;
}

function readBootId(bootId: unknown): string {
  inForm("bootId is not 32 lowercase hex digits", () => bootIdBytes(bootId));
  return bootId as string;
}

function readKeys(keys: unknown): ParsedBootAnswer["keys"] {
  const entries = inForm("keys is no JSON object", () => checkRecord("keys", keys));
  if (entries.length === 0 || entries.length > MAX_BOOT_KEYS) {
    throw wrong("FIELD", `keys has not 1 to ${MAX_BOOT_KEYS} keys`);
  }
  const read = entries.map(([name, text]) => {
    const key = base64("a key", text, MAX_BOOT_KEY_BYTES);
    inForm("a key has a wrong name or length", () => checkBootKey(name, key));
    return [name, key] as const;
  });
  return Object.freeze(Object.setPrototypeOf(Object.fromEntries(read), null) as ParsedBootAnswer["keys"]);
}

function base64(name: string, text: unknown, maxBytes: number): Uint8Array<ArrayBuffer> {
  const bytes = fromBase64(checkLength(name, text, Math.ceil(maxBytes / 3) * 4));
  if (bytes !== undefined && bytes.length > 0) return bytes;
  throw wrong("FIELD", `${name} is not canonical base64 of a byte or more`);
}

function checkLength(name: string, text: unknown, maxLength: number): string {
  if (typeof text !== "string") throw wrong("FIELD", `${name} is no text`);
  if (text.length <= maxLength) return text;
  throw wrong("TOO_LARGE", `${name} has more than ${maxLength} characters`);
}

function inForm<T>(otherwise: string, check: () => T): T {
  try {
    return check();
  } catch {
    throw wrong("FIELD", otherwise);
  }
}

function printable(name: string): string {
  return /^\w{1,32}$/.test(name) ? `\`${name}\`` : "of some name";
}

function wrong(check: AttestationCheck, what: string): AttestationError {
  return new AttestationError(check, `Cannot read attestation answer: ${what}`, {
    hint: "Is it the parsed JSON of an enclave's GET /v1/attestation, complete and unchanged?",
  });
}
