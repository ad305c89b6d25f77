import { equalBytes, toHex } from "../core/bytes.ts";
import { type Certificate, KEY_USAGE } from "./certificate.ts";
import { failed } from "./failures.ts";

/** SHA-256 of AWS's root certificate for Nitro Enclaves (G1), as hex. */
export const AWS_NITRO_ROOT_SHA256 = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b";

/**
 * Checks that a chain starts at the trusted root. The root's own signature proves nothing and is not checked.
 *
 * @param first The first certificate of the chain, DER
 * @param root The root to trust, DER. Default: AWS's
 * @throws {AttestationError} `ROOT`
 */
export async function checkRoot(
  first: Uint8Array<ArrayBuffer> | undefined,
  root: Uint8Array | undefined,
): Promise<void> {
  if (first !== undefined && await isTrusted(first, root)) return;
  throw failed("ROOT", "the chain does not start at the trusted root");
}

/**
 * Checks all of RFC 5280, section 6.1 that needs no signature: critical extensions, names, key identifiers, basic
 * constraints, path lengths, key usage and validity, in this order.
 *
 * @param chain The root first, the document's signer last
 * @param at Milliseconds since 1970
 * @throws {AttestationError} `CRITICAL_EXTENSION`, `CHAIN`, `BASIC_CONSTRAINTS`, `PATH_LENGTH`, `KEY_USAGE`,
 *   `NOT_YET_VALID` or `EXPIRED`
 */
export function checkChain(chain: readonly Certificate[], at: number): void {
  checkExtensions(chain);
  checkNames(chain);
  checkConstraints(chain);
  checkPathLengths(chain);
  checkKeyUsage(chain);
  checkValidity(chain, at);
}

/**
 * Verifies the signatures of a chain.
 *
 * @param chain The root first
 * @returns Whether each certificate below the root was signed with the key of the one above it
 */
export async function areSigned(chain: readonly Certificate[]): Promise<boolean> {
  const good = await Promise.all(
    chain.slice(1).map(({ signedPart, signature }, i) => isSigned(chain[i], signature, signedPart)),
  );
  return !good.includes(false);
}

/**
 * Verifies one signature.
 *
 * @param signer Certificate of the key
 * @param signature ES384: r and s, 96 bytes
 * @param data Signed bytes
 * @returns Whether the signature is right
 */
export async function isSigned(
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

const P384 = { name: "ECDSA", namedCurve: "P-384" } as const;
const ES384 = { name: "ECDSA", hash: "SHA-384" } as const;

async function isTrusted(first: Uint8Array<ArrayBuffer>, root: Uint8Array | undefined): Promise<boolean> {
  if (root !== undefined) return equalBytes(first, root);
  return toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", first))) === AWS_NITRO_ROOT_SHA256;
}

function checkExtensions(chain: readonly Certificate[]): void {
  if (chain.every(({ extensions }) => extensions.unknownCritical !== true)) return;
  throw failed("CRITICAL_EXTENSION", "a certificate has an unknown critical extension");
}

function checkNames(chain: readonly Certificate[]): void {
  for (const [i, { issuer, extensions: { authorityKeyId } }] of chain.entries()) {
    const above = chain[Math.max(i - 1, 0)];
    if (above === undefined || !equalBytes(issuer, above.subject)) {
      throw failed("CHAIN", "a certificate names another issuer than the one above it");
    }
    const { subjectKeyId } = above.extensions;
    if (authorityKeyId && subjectKeyId && !equalBytes(authorityKeyId, subjectKeyId)) {
      throw failed("CHAIN", "a certificate names another issuer's key than the one above it");
    }
  }
}

function checkConstraints(chain: readonly Certificate[]): void {
  if (!chain.slice(0, -1).every(({ extensions }) => extensions.ca === true)) {
    throw failed("BASIC_CONSTRAINTS", "an issuer is not a certificate authority");
  }
  const leaf = chain.at(-1)?.extensions;
  if (leaf?.ca === true || leaf?.pathLength !== undefined) {
    throw failed("BASIC_CONSTRAINTS", "the signing certificate is an authority's");
  }
}

function checkPathLengths(chain: readonly Certificate[]): void {
  const authorities = chain.length - 1;
  for (const [i, { extensions: { pathLength = Infinity } }] of chain.slice(0, -1).entries()) {
    const below = authorities - 1 - i;
    if (below > pathLength) throw failed("PATH_LENGTH", "the chain is longer than a certificate allows");
  }
}

function checkKeyUsage(chain: readonly Certificate[]): void {
  const may = (certificate: Certificate | undefined, usage: number) =>
    ((certificate?.extensions.keyUsage ?? 0) & usage) !== 0;
  if (!chain.slice(0, -1).every((issuer) => may(issuer, KEY_USAGE.keyCertSign))) {
    throw failed("KEY_USAGE", "an issuer may not sign certificates");
  }
  if (!may(chain.at(-1), KEY_USAGE.digitalSignature)) {
    throw failed("KEY_USAGE", "the signing certificate may not sign documents");
  }
}

function checkValidity(chain: readonly Certificate[], at: number): void {
  if (chain.some(({ notBefore }) => at < notBefore)) {
    throw failed("NOT_YET_VALID", "a certificate is not valid yet");
  }
  if (chain.some(({ notAfter }) => at > notAfter)) throw failed("EXPIRED", "a certificate has expired");
}
