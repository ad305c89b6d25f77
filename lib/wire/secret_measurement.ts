/**
 * Record of the secrets that an enclave took, in PCR16: one extension for each, in the order in which they are declared.
 *
 * @module
 */
import { concatBytes, toHex } from "../core/bytes.ts";
import { encodeCbor } from "../core/encode_cbor.ts";
import { checkSecretStatement, type SecretStatement } from "./signed_secret.ts";

/** Register that the secrets are recorded in. The Nitro Secure Module leaves 16 to 31 to the application. */
export const SECRETS_PCR = 16;

/** Length of a register in bytes. */
const PCR_BYTES = 48;

/**
 * Computes the data of one ExtendPCR: SHA-384 of deterministic CBOR `[name, version, sha256]`.
 *
 * @param name Name of the secret
 * @param version Version that its publisher signed; 0 for a secret without a publisher
 * @param sha256 SHA-256 of the sealed bytes, 32 bytes
 * @returns 48 bytes
 * @throws {TypeError} When the name has another form, or the hash is not 32 bytes
 * @throws {RangeError} When the version is out of range
 */
export async function secretMeasurement(
  name: string,
  version: number,
  sha256: Uint8Array,
): Promise<Uint8Array<ArrayBuffer>> {
  checkSecretStatement({ name, version, sha256 });
  return await sha384(encodeCbor([name, version, sha256]));
}

/**
 * Computes the value of PCR16 in an enclave that took these secrets: from 48 zero bytes, each extension is SHA-384 of
 * the old value followed by the data, as the Nitro Secure Module computes it.
 *
 * @param entries Secrets in the order of their declarations, without optional ones that did not arrive
 * @returns 48 bytes
 * @throws {TypeError} When a name has another form, or a hash is not 32 bytes
 * @throws {RangeError} When a version is out of range
 */
export async function expectedPcr16(entries: readonly SecretStatement[]): Promise<Uint8Array<ArrayBuffer>> {
  let value = new Uint8Array(PCR_BYTES);
  for (const { name, version, sha256 } of entries) {
    value = await sha384(concatBytes([value, await secretMeasurement(name, version, sha256)]));
  }
  return value;
}

/**
 * Joins the statements about several files into one: the least version, and SHA-256 of their hashes in ascending order.
 *
 * @param statements Statements with one name
 * @returns The only one as it is, or that about all
 */
export async function joinStatements(statements: readonly SecretStatement[]): Promise<SecretStatement> {
  const [first, ...others] = statements.toSorted((a, b) => toHex(a.sha256) < toHex(b.sha256) ? -1 : 1);
  if (first === undefined) throw new TypeError("statements must not be empty");
  if (others.length === 0) return first;
  const hashes = concatBytes([first, ...others].map(({ sha256 }) => sha256));
  return {
    name: first.name,
    version: Math.min(...statements.map(({ version }) => version)),
    sha256: new Uint8Array(await crypto.subtle.digest("SHA-256", hashes)),
  };
}

async function sha384(data: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.digest("SHA-384", data));
}
