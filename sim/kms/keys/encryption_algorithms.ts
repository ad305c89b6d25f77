/** The algorithms of Encrypt and Decrypt. */
export type KeyAlgorithm = "SYMMETRIC_DEFAULT" | "RSAES_OAEP_SHA_1" | "RSAES_OAEP_SHA_256";

/** The algorithms of Encrypt and Decrypt, as a list. */
export const KEY_ALGORITHMS: readonly KeyAlgorithm[] = [
  "SYMMETRIC_DEFAULT",
  "RSAES_OAEP_SHA_1",
  "RSAES_OAEP_SHA_256",
];

/**
 * Finds the longest plaintext that KMS takes, in bytes: 4096, and less under RSA with OAEP, by the modulus.
 *
 * @param spec Kind of the key
 * @param algorithm Algorithm that fits the key
 */
export function maxPlaintextLength(spec: string, algorithm: KeyAlgorithm): number {
  if (algorithm === "SYMMETRIC_DEFAULT") return 4096;
  const digestLength = algorithm === "RSAES_OAEP_SHA_1" ? 20 : 32;
  return Number(spec.slice("RSA_".length)) / 8 - 2 * digestLength - 2;
}
