import { checkFields, checkInteger } from "../core/checks.ts";
import { equalBytes, toHex } from "../core/bytes.ts";
import { type Certificate, parseCertificate } from "./certificate.ts";
import { areSigned, checkChain, checkRoot, isSigned } from "./chain.ts";
import { type AttestationDocument, decodeAttestationDocument } from "./document.ts";
import { encodeCbor } from "../core/encode_cbor.ts";
import { failed } from "./failures.ts";
import { pcrHex, type PcrsByIndex, type PcrValue, readPcrs } from "../core/pcrs.ts";

export { AWS_NITRO_ROOT_SHA256 } from "./chain.ts";
export type { PcrsByIndex, PcrValue } from "../core/pcrs.ts";

/** Milliseconds that a document's timestamp may lie ahead of the time to verify at: five minutes. */
export const CLOCK_TOLERANCE_MS = 300_000;

/**
 * Expectations of a document, beside its own signatures. A given expectation must be able to fail: an empty one is
 * refused. To expect nothing of a part, leave it out.
 */
export interface VerifyAttestationOptions {
  /** Root certificate to trust instead of AWS's, DER: that of a simulator. */
  readonly root?: Uint8Array | undefined;
  /** Time to verify at, milliseconds since 1970. Default: now. */
  readonly at?: number | undefined;
  /** Greatest age of the document, milliseconds. Default: the lifetime of its certificate, three hours. */
  readonly maxAgeMs?: number | undefined;
  /** Nonce that the document must have, 1 byte or more. */
  readonly nonce?: Uint8Array | undefined;
  /** User data that the document must have, 1 byte or more. */
  readonly userData?: Uint8Array | undefined;
  /** Public key that the document must have, in the same encoding. */
  readonly publicKey?: Uint8Array | undefined;
  /**
   * PCRs that the document must have, by index 0 to 31; one value of a list must match. A plain object, or a `Map`
   * such as the `pcrs` of another document. Such a map demands every register in it, with PCR3 and PCR4, which differ
   * from instance to instance.
   */
  readonly pcrs?: PcrsByIndex<PcrValue | readonly PcrValue[]> | undefined;
  /** Whether to accept enclaves in debug mode: their PCR0 to PCR2 are zero, and the parent can read their memory. */
  readonly allowDebug?: boolean | undefined;
}

/**
 * Verifies an attestation document: its form, the certificates from the pinned root down to the key that
 * signed it, the ES384 signature, and then its fields. It needs WebCrypto and nothing else, and so runs in browsers,
 * too.
 *
 * A failure names the one check that failed, in its `code`: `ERR_ATTESTATION_` and one of these, in the order
 * of checking.
 *
 * | check | the document |
 * | --- | --- |
 * | `TOO_LARGE` | has more than 16 KiB |
 * | `CBOR` | or its payload is not one item of well-formed CBOR, complete and with nothing after it |
 * | `DUPLICATE_KEY` | or its payload has a map with the same key twice |
 * | `NOT_CANONICAL` | or its payload has a length or number that is not in its shortest form, or a string in chunks |
 * | `TOO_DEEP` | or its payload is nested deeper than documents are, or deeper than 16 in a field that is not known |
 * | `COSE` | is no untagged COSE_Sign1 with a map and 96 bytes of signature |
 * | `ALGORITHM` | is not signed by ES384 |
 * | `FIELD_MISSING` | lacks a field, as a NitroTPM's document does |
 * | `FIELD` | has a field of a wrong type, length or value |
 * | `CERTIFICATE` | has a certificate that is not strict DER, or not of a P-384 key |
 * | `ROOT` | does not start its chain at the trusted root |
 * | `CRITICAL_EXTENSION` | has a certificate with a critical extension that is not known |
 * | `CHAIN` | has certificates missing, or not each below its issuer, by name and key identifier |
 * | `BASIC_CONSTRAINTS` | has an issuer that is no authority, or is signed by one |
 * | `PATH_LENGTH` | has more certificates below one than that allows |
 * | `KEY_USAGE` | has a key used for what its certificate does not allow |
 * | `NOT_YET_VALID` | has a certificate that is not valid yet |
 * | `EXPIRED` | has a certificate that has expired |
 * | `SIGNATURE` | was not signed, as it is, with the key of its certificate |
 * | `CERTIFICATE_SIGNATURE` | has a certificate that its issuer did not sign |
 * | `FUTURE` | is from more than {@link CLOCK_TOLERANCE_MS} after the time to verify at |
 * | `STALE` | is older than `maxAgeMs` |
 * | `DEBUG` | is of an enclave in debug mode |
 * | `NONCE` | has another nonce than `nonce`, or none |
 * | `USER_DATA` | has other user data than `userData`, or none |
 * | `PUBLIC_KEY` | has another public key than `publicKey`, or none |
 * | `PCR` | has none of the allowed values in a register of `pcrs` |
 *
 * Fields that are not known stand in `unknownFields` and decide nothing. Two parts are not signed, so anyone who
 * passes the document on may change them, without effect on the other fields: the unprotected header, and the choice
 * between the two equivalent forms of an ECDSA signature.
 *
 * Not guaranteed: that the enclave is yours. Without `pcrs` any enclave of anyone in AWS passes. Nor that it
 * speaks now: that takes a fresh `nonce`, while `maxAgeMs` bounds the age by both clocks. A document says
 * nothing about its bearer. Certificates are not looked up in revocation lists.
 *
 * @param document COSE_Sign1, at most 16 KiB
 * @param options Expectations
 * @returns The document's fields
 * @throws {AttestationError} When a check fails; its `code` names the check
 * @throws {TypeError} When an argument is of a wrong type, an option is not known, or `pcrs` names no register
 * @throws {RangeError} When `maxAgeMs` is not a whole number from 0, or an expectation is empty
 * @example
 * ```ts
 * import { verifyAttestation } from "enclave-kms/attestation";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * await using enclave = await startSimulator();
 * const nonce = crypto.getRandomValues(new Uint8Array(32));
 * const bytes = await enclave.nsm.attest({ nonce });
 *
 * const pcrs = { 0: enclave.nsm.pcr(0) };
 * const document = await verifyAttestation(bytes, { nonce, pcrs, root: enclave.nsm.root });
 * document.digest; // "SHA384"
 * ```
 */
export async function verifyAttestation(
  document: Uint8Array,
  options: VerifyAttestationOptions = {},
): Promise<AttestationDocument> {
  const expected = checkExpectations(options);
  const parsed = decodeAttestationDocument(document);
  const chain = [...parsed.cabundle, parsed.certificate].map(parseCertificate);
  await checkRoot(parsed.cabundle[0], expected.root);
  checkChain(chain, expected.at);
  await checkSignatures(parsed, chain);
  checkAge(parsed, expected);
  checkDebug(parsed, expected.allowDebug);
  checkBytes("NONCE", "nonce", parsed.nonce, expected.nonce);
  checkBytes("USER_DATA", "user data", parsed.userData, expected.userData);
  checkBytes("PUBLIC_KEY", "public key", parsed.publicKey, expected.publicKey);
  checkPcrs(parsed, expected.pcrs);
  return parsed;
}

/** Registers that measure the image, its kernel and its application. */
const IMAGE_PCRS = [0, 1, 2];

const OPTIONS = ["root", "at", "maxAgeMs", "nonce", "userData", "publicKey", "pcrs", "allowDebug"];

type Expectations =
  & Pick<VerifyAttestationOptions, "root" | "nonce" | "userData" | "publicKey">
  & {
    readonly at: number;
    readonly maxAgeMs: number;
    readonly allowDebug: boolean;
    readonly pcrs: readonly AllowedPcr[];
  };

interface AllowedPcr {
  readonly index: number;
  /** Allowed values in lowercase hex. */
  readonly values: readonly string[];
}

/**
 * Checks expectations before there is a document.
 *
 * @param options Expectations of {@link verifyAttestation}
 * @throws {TypeError} As {@link verifyAttestation} does
 * @throws {RangeError} As {@link verifyAttestation} does
 */
export function checkVerifyOptions(options: VerifyAttestationOptions): void {
  checkExpectations(options);
}

function checkExpectations(options: VerifyAttestationOptions): Expectations {
  const given = checkFields("options of verifyAttestation", options, OPTIONS);
  const { at = Date.now(), allowDebug = false } = given;
  if (!Number.isFinite(at)) throw new TypeError("at must be a number of milliseconds");
  if (typeof allowDebug !== "boolean") throw new TypeError("allowDebug must be a boolean");
  const age = { min: 0, max: Number.MAX_SAFE_INTEGER, default: Number.MAX_SAFE_INTEGER };
  return {
    at,
    allowDebug,
    maxAgeMs: checkInteger("maxAgeMs", given.maxAgeMs, age),
    root: derOf(given.root),
    nonce: expectedBytes("nonce", given.nonce),
    userData: expectedBytes("userData", given.userData),
    publicKey: expectedBytes("publicKey", given.publicKey),
    pcrs: given.pcrs === undefined ? [] : allowedPcrs(given.pcrs),
  };
}

function derOf(root: unknown): Uint8Array | undefined {
  const isPem = typeof root === "string" ? root.includes(PEM_BEGIN) : root instanceof Uint8Array &&
    new TextDecoder().decode(root.subarray(0, MAX_PEM_LEAD)).includes(PEM_BEGIN);
  if (!isPem) return expectedBytes("root", root);
  throw new TypeError(
    "root must be DER, and this is PEM: decode the base64 between its BEGIN and END lines (decodeBase64)",
  );
}

const PEM_BEGIN = "-----BEGIN ";

/** Most bytes of text before a PEM certificate. */
const MAX_PEM_LEAD = 4096;

function expectedBytes(field: string, value: unknown): Uint8Array | undefined {
  if (value === undefined) return undefined;
  if (!(value instanceof Uint8Array)) throw new TypeError(`${field} must be a Uint8Array`);
  if (value.length > 0) return value;
  throw new RangeError(`${field} must have a byte to expect: leave it out to expect nothing`);
}

function allowedPcrs(pcrs: unknown): AllowedPcr[] {
  const allowed = readPcrs("pcrs", pcrs).map(([index, value]) => {
    const values: readonly unknown[] = Array.isArray(value) ? value : [value];
    if (values.length === 0) throw new TypeError(`pcrs[${index}] must have a value`);
    return { index, values: values.map((one) => pcrHex(`pcrs[${index}]`, one)) };
  });
  if (allowed.length > 0) return allowed;
  throw new TypeError("pcrs must name a register: without one, any enclave of anyone passes");
}

/** Checks the document's own signature first: a document changed on its way fails there, after one verification. */
async function checkSignatures(document: AttestationDocument, chain: readonly Certificate[]): Promise<void> {
  const { protectedHeader, payload, signature } = document;
  const signed = encodeCbor(["Signature1", protectedHeader, new Uint8Array(), payload]);
  if (!await isSigned(chain.at(-1), signature, signed)) throw failed("SIGNATURE", "its signature is wrong");
  if (!await areSigned(chain)) throw failed("CERTIFICATE_SIGNATURE", "a certificate's signature is wrong");
}

function checkAge({ timestamp }: AttestationDocument, { at, maxAgeMs }: Expectations): void {
  if (timestamp > at + CLOCK_TOLERANCE_MS) throw failed("FUTURE", "it is from the future");
  if (at - timestamp > maxAgeMs) throw failed("STALE", "it is too old");
}

function checkDebug({ pcrs }: AttestationDocument, allowDebug: boolean): void {
  const measured = IMAGE_PCRS.some((index) => pcrs.get(index)?.some((byte) => byte !== 0));
  if (!measured && !allowDebug) throw failed("DEBUG", "the enclave runs in debug mode");
}

function checkBytes(
  check: "NONCE" | "USER_DATA" | "PUBLIC_KEY",
  name: string,
  actual: Uint8Array | undefined,
  expected: Uint8Array | undefined,
): void {
  if (expected === undefined || (actual !== undefined && equalBytes(actual, expected))) return;
  throw failed(check, actual === undefined ? `it holds no ${name}` : `it holds another ${name}`);
}

function checkPcrs({ pcrs }: AttestationDocument, allowed: readonly AllowedPcr[]): void {
  for (const { index, values } of allowed) {
    const actual = pcrs.get(index);
    if (actual === undefined) throw failed("PCR", `PCR${index} is not in it`);
    if (!values.includes(toHex(actual))) throw failed("PCR", `PCR${index} is not an expected one`);
  }
}
