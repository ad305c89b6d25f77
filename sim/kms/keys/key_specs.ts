/** What a key is made of. */
export type KeySpec =
  | "SYMMETRIC_DEFAULT"
  | "RSA_2048"
  | "RSA_3072"
  | "RSA_4096"
  | "ECC_NIST_P256"
  | "ECC_NIST_P384"
  | "ECC_NIST_P521";

/** What a key is for. The simulator signs nothing: a key for signatures is there to be refused. */
export type KeyUsage = "ENCRYPT_DECRYPT" | "KEY_AGREEMENT" | "SIGN_VERIFY";

/** Who made a key's material: KMS, or its owner, who imported it. */
export type KeyOrigin = "AWS_KMS" | "EXTERNAL";

/** Whether a key can be used. */
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
 * What a key is for when nobody says: encryption, or key agreement on an elliptic curve. (KMS itself makes its
 * caller say it of every asymmetric key.)
 *
 * @param spec What it is made of
 */
export function usualUsage(spec: KeySpec): KeyUsage {
  return spec.startsWith("ECC_") ? "KEY_AGREEMENT" : "ENCRYPT_DECRYPT";
}

/**
 * @param spec What a key is made of
 * @param usage What it is for
 * @throws {TypeError} In KMS's words, when no such key can be made
 */
export function checkUsage(spec: KeySpec, usage: KeyUsage): void {
  const family = spec.slice(0, 3);
  if (!(USAGES[family]?.includes(usage) ?? false)) {
    throw new TypeError(`KeyUsage ${usage} is not compatible with KeySpec ${spec}`);
  }
}

/** By the first three letters of a spec. */
const USAGES: Readonly<Record<string, readonly KeyUsage[]>> = {
  SYM: ["ENCRYPT_DECRYPT"],
  RSA: ["ENCRYPT_DECRYPT", "SIGN_VERIFY"],
  ECC: ["KEY_AGREEMENT", "SIGN_VERIFY"],
};

/**
 * The longest plaintext that KMS takes, in bytes: 4096, and under RSA with OAEP what the modulus leaves.
 *
 * @param spec What the key is made of
 * @param algorithm Which fits the key
 */
export function maxPlaintextLength(spec: KeySpec, algorithm: KeyAlgorithm): number {
  if (algorithm === "SYMMETRIC_DEFAULT") return 4096;
  const digestLength = algorithm === "RSAES_OAEP_SHA_1" ? 20 : 32;
  return Number(spec.slice("RSA_".length)) / 8 - 2 * digestLength - 2;
}
