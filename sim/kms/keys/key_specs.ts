/** Kind of a key's material. */
export type KeySpec =
  | "SYMMETRIC_DEFAULT"
  | "RSA_2048"
  | "RSA_3072"
  | "RSA_4096"
  | "ECC_NIST_P256"
  | "ECC_NIST_P384"
  | "ECC_NIST_P521";

/** Use of a key. The simulator signs nothing: a key for signatures exists to be refused. */
export type KeyUsage = "ENCRYPT_DECRYPT" | "KEY_AGREEMENT" | "SIGN_VERIFY";

/** Origin of a key's material: KMS, or its owner, who imported it. */
export type KeyOrigin = "AWS_KMS" | "EXTERNAL";

/** State of a key. Only an enabled one can be used. */
export type KeyState = "Enabled" | "Disabled" | "PendingDeletion" | "PendingImport" | "Unavailable";

/** The algorithms of Encrypt and Decrypt. */
export type KeyAlgorithm = "SYMMETRIC_DEFAULT" | "RSAES_OAEP_SHA_1" | "RSAES_OAEP_SHA_256";

/** The algorithms of Encrypt and Decrypt, as a list. */
export const KEY_ALGORITHMS: readonly KeyAlgorithm[] = [
  "SYMMETRIC_DEFAULT",
  "RSAES_OAEP_SHA_1",
  "RSAES_OAEP_SHA_256",
];

/**
 * Chooses the default use of a key: encryption, or key agreement on an elliptic curve. (KMS itself has no
 * default for an asymmetric key.)
 *
 * @param spec Kind of the key
 */
export function usualUsage(spec: KeySpec): KeyUsage {
  return spec.startsWith("ECC_") ? "KEY_AGREEMENT" : "ENCRYPT_DECRYPT";
}

/**
 * Checks that a kind of key has a use.
 *
 * @param spec Kind of the key
 * @param usage Use of the key
 * @throws {TypeError} In KMS's words, when no such key can be made
 */
export function checkUsage(spec: KeySpec, usage: KeyUsage): void {
  const family = spec.slice(0, 3);
  if (!(USAGES[family]?.includes(usage) ?? false)) {
    throw new TypeError(`KeyUsage ${usage} is not compatible with KeySpec ${spec}`);
  }
}

/** Uses by the first three letters of a spec. */
const USAGES: Readonly<Record<string, readonly KeyUsage[]>> = {
  SYM: ["ENCRYPT_DECRYPT"],
  RSA: ["ENCRYPT_DECRYPT", "SIGN_VERIFY"],
  ECC: ["KEY_AGREEMENT", "SIGN_VERIFY"],
};

/**
 * Finds the longest plaintext that KMS takes, in bytes: 4096, and less under RSA with OAEP, by the modulus.
 *
 * @param spec Kind of the key
 * @param algorithm Algorithm that fits the key
 */
export function maxPlaintextLength(spec: KeySpec, algorithm: KeyAlgorithm): number {
  if (algorithm === "SYMMETRIC_DEFAULT") return 4096;
  const digestLength = algorithm === "RSAES_OAEP_SHA_1" ? 20 : 32;
  return Number(spec.slice("RSA_".length)) / 8 - 2 * digestLength - 2;
}
