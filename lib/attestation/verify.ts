import { encode } from "cbor2";
import { encodeHex } from "../encoding.ts";
import { type AttestationCheck, AttestationError } from "../errors.ts";
import { type Certificate, KEY_USAGE, parseCertificate } from "./certificate.ts";
import { type AttestationDocument, decodeAttestationDocument } from "./document.ts";

/** SHA-256 of AWS's root certificate for Nitro Enclaves (G1), as hex. */
export const AWS_ROOT_SHA256 = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b";

/** What a document is checked against besides its own signatures. */
export interface VerifyAttestationOptions {
  /** The root certificate to trust instead of AWS's, DER: that of a simulator. */
  readonly root?: Uint8Array | undefined;
  /** The time to verify at, milliseconds since 1970. Default: now. */
  readonly at?: number | undefined;
  /** The nonce that has to be in the document. */
  readonly nonce?: Uint8Array | undefined;
  /** The PCRs that have to be in the document, by index: bytes, or hex of either case. */
  readonly pcrs?: Readonly<Record<number, Uint8Array | string>> | undefined;
  /** Accept enclaves in debug mode, whose PCR0 to PCR2 are zero and whose memory the parent can read. */
  readonly allowDebug?: boolean | undefined;
}

/**
 * Verifies an attestation document: its form, the certificates from the pinned root down to the key that
 * signed it, their validity, the ES384 signature, and then what it says.
 *
 * Not guaranteed: freshness. A document is as old as its `timestamp` says; a nonce proves that it is new.
 *
 * @param document COSE_Sign1, at most 16 KiB
 * @param options What to expect. Without `pcrs` any enclave that runs in production mode passes
 * @returns The document's fields
 * @throws {AttestationError} Whose `code` names the one check that failed: `ERR_ATTESTATION_` and `FORMAT`,
 *   `CHAIN`, `EXPIRED`, `SIGNATURE`, `DEBUG`, `NONCE` or `PCR`, checked in this order
 * @throws {TypeError} When an argument is of a wrong type
 * @example
 * ```ts
 * import { verifyAttestation } from "enclave-kms";
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
  await checkRoot(parsed, expected.root);
  checkChain(chain);
  await checkCertificateSignatures(chain);
  checkValidity(chain, expected.at);
  await checkDocumentSignature(parsed, chain);
  checkDebug(parsed, expected.allowDebug);
  checkNonce(parsed, expected.nonce);
  checkPcrs(parsed, expected.pcrs);
  return parsed;
}

const P384 = { name: "ECDSA", namedCurve: "P-384" } as const;
const ES384 = { name: "ECDSA", hash: "SHA-384" } as const;
/** The registers that measure the image, its kernel and its application. */
const IMAGE_PCRS = [0, 1, 2];

interface Expectations {
  readonly root: Uint8Array | undefined;
  readonly at: number;
  readonly nonce: Uint8Array | undefined;
  readonly pcrs: readonly (readonly [index: number, hex: string])[];
  readonly allowDebug: boolean;
}

function checkExpectations(options: VerifyAttestationOptions): Expectations {
  const { root, at = Date.now(), nonce, pcrs = {}, allowDebug = false } = options;
  if (root !== undefined && !(root instanceof Uint8Array)) throw new TypeError("root has to be a Uint8Array");
  if (nonce !== undefined && !(nonce instanceof Uint8Array)) {
    throw new TypeError("nonce has to be a Uint8Array");
  }
  if (!Number.isFinite(at)) throw new TypeError("at has to be a number of milliseconds");
  return { root, at, nonce, pcrs: Object.entries(pcrs).map(expectedPcr), allowDebug: allowDebug === true };
}

function expectedPcr([index, value]: [string, Uint8Array | string]): [number, string] {
  if (!/^(?:[12]?[0-9]|3[01])$/.test(index)) throw new TypeError("pcrs has an index that is not 0 to 31");
  const hex = value instanceof Uint8Array ? encodeHex(value) : String(value).toLowerCase();
  if (/^(?:[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$/.test(hex)) return [Number(index), hex];
  throw new TypeError(`pcrs[${index}] has to be 32, 48 or 64 bytes, or their hex`);
}

async function checkRoot(document: AttestationDocument, root: Uint8Array | undefined): Promise<void> {
  const [first] = document.cabundle;
  if (first === undefined) throw failed("CHAIN", "there is no root certificate");
  const trusted = root === undefined
    ? encodeHex(new Uint8Array(await crypto.subtle.digest("SHA-256", first))) === AWS_ROOT_SHA256
    : encodeHex(first) === encodeHex(root);
  if (!trusted) throw failed("CHAIN", "the chain does not start at the trusted root");
}

/** Names, key identifiers, basic constraints, path lengths and key usage: RFC 5280, section 6.1. */
function checkChain(chain: readonly Certificate[]): void {
  const leafIndex = chain.length - 1;
  for (const [i, { issuer, extensions }] of chain.entries()) {
    const above = chain[Math.max(i - 1, 0)];
    if (extensions.unknownCritical === true) {
      throw failed("CHAIN", "a certificate has an unknown critical extension");
    }
    if (above === undefined || encodeHex(issuer) !== encodeHex(above.subject)) {
      throw failed("CHAIN", "a certificate names another issuer");
    }
    const { authorityKeyId } = extensions;
    const { subjectKeyId } = above.extensions;
    if (
      authorityKeyId !== undefined && subjectKeyId !== undefined &&
      encodeHex(authorityKeyId) !== encodeHex(subjectKeyId)
    ) {
      throw failed("CHAIN", "a certificate names another issuer's key");
    }
    if (i < leafIndex) checkAuthority(extensions, leafIndex - 1 - i);
    else checkLeaf(extensions);
  }
}

function checkAuthority(
  { ca, pathLength = Infinity, keyUsage = 0 }: Certificate["extensions"],
  below: number,
): void {
  if (ca !== true) throw failed("CHAIN", "an issuer is not a certificate authority");
  if (pathLength < below) throw failed("CHAIN", "the chain is longer than a certificate allows");
  if ((keyUsage & KEY_USAGE.keyCertSign) === 0) throw failed("CHAIN", "an issuer may not sign certificates");
}

function checkLeaf({ ca, pathLength, keyUsage = 0 }: Certificate["extensions"]): void {
  if (ca === true || pathLength !== undefined) {
    throw failed("CHAIN", "the signing certificate is an authority's");
  }
  if ((keyUsage & KEY_USAGE.digitalSignature) === 0) {
    throw failed("CHAIN", "the signing certificate may not sign documents");
  }
}

async function checkCertificateSignatures(chain: readonly Certificate[]): Promise<void> {
  const good = await Promise.all(
    chain.slice(1).map(({ signedPart, signature }, i) => isSigned(chain[i], signature, signedPart)),
  );
  if (good.includes(false)) throw failed("CHAIN", "a certificate's signature is wrong");
}

function checkValidity(chain: readonly Certificate[], at: number): void {
  const valid = chain.every(({ notBefore, notAfter }) => notBefore <= at && at <= notAfter);
  if (!valid) throw failed("EXPIRED", "a certificate has expired or is not valid yet");
}

async function checkDocumentSignature(
  { protectedHeader, payload, signature }: AttestationDocument,
  chain: readonly Certificate[],
): Promise<void> {
  const signed = encode(["Signature1", protectedHeader, new Uint8Array(), payload]);
  if (!await isSigned(chain.at(-1), signature, new Uint8Array(signed))) {
    throw failed("SIGNATURE", "its signature is wrong");
  }
}

async function isSigned(
  signer: Certificate | undefined,
  signature: Uint8Array<ArrayBuffer>,
  data: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  if (signer === undefined) return false;
  try {
    const key = await crypto.subtle.importKey("spki", signer.publicKey, P384, false, ["verify"]);
    return await crypto.subtle.verify(ES384, key, signature, data);
  } catch {
    return false; // the point is not on the curve
  }
}

function checkDebug({ pcrs }: AttestationDocument, allowDebug: boolean): void {
  const measured = IMAGE_PCRS.some((index) => pcrs.get(index)?.some((byte) => byte !== 0));
  if (!measured && !allowDebug) throw failed("DEBUG", "the enclave runs in debug mode");
}

function checkNonce(document: AttestationDocument, nonce: Uint8Array | undefined): void {
  if (nonce === undefined) return;
  if (document.nonce === undefined || encodeHex(document.nonce) !== encodeHex(nonce)) {
    throw failed("NONCE", "it holds another nonce, or none");
  }
}

function checkPcrs(document: AttestationDocument, expected: Expectations["pcrs"]): void {
  for (const [index, hex] of expected) {
    const actual = document.pcrs.get(index);
    if (actual === undefined || encodeHex(actual) !== hex) {
      throw failed("PCR", `PCR${index} is not the expected one`);
    }
  }
}

const HINTS: Readonly<Partial<Record<AttestationCheck, string>>> = {
  CHAIN: "Is it from AWS's Nitro Enclaves? A simulator's document needs its root certificate in `root`",
  EXPIRED: "Is the clock right? A document's certificate lives three hours: `at` sets the time to verify at",
  SIGNATURE: "Was the document changed on its way?",
  DEBUG: "Was the enclave started with --debug-mode? `allowDebug` accepts that, for development only",
  NONCE: "Is this the answer to another question, or a replay?",
  PCR: "Does the enclave run another image than the expected one? Compare with the build's measurements",
};

function failed(check: AttestationCheck, what: string): AttestationError {
  return new AttestationError(check, `Cannot verify attestation document: ${what}`, {
    hint: HINTS[check] ?? "",
  });
}
