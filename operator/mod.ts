/**
 * An operator's side of secrets, on a machine of their own: they are sealed with KMS or age, signed by their publisher,
 * and split into shares, for an enclave that receives them at boot. Sending them is the parent's, see
 * `enclave-kms/parent`.
 *
 * {@link sealWithKms} encrypts for the enclave's key and context, {@link sealWithAge} for its {@link AgeKeyPair},
 * {@link signSecret} makes what tells who wrote a secret, {@link splitSecret} shares that only together give it back, and
 * {@link computePcr16} the record of it in the enclave's attestation. The entry needs the package age-encryption.
 *
 * @example
 * ```ts
 * import { KmsClient } from "enclave-kms";
 * import { AgeKeyPair, sealWithAge, sealWithKms } from "enclave-kms/operator";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * await using simulator = await startSimulator(); // with AWS: { region, credentials, endpoint }
 * const { arn: keyArn } = await simulator.createKey();
 * const { nsm: _, ...options } = simulator.clientOptions;
 * await using client = await KmsClient.open({ ...options, recipient: "none" });
 *
 * using keys = await AgeKeyPair.generate();
 * const ageKey = await sealWithKms(client, keys.identity, { keyArn, encryptionContext: { secret: "age key" } });
 * const orders = await sealWithAge(new TextEncoder().encode("attack at dawn"), [keys.recipient]);
 * ageKey.length > 74 && orders.length > 14; // true
 * ```
 *
 * @module
 */
export { AgeKeyPair } from "./age_key_pair.ts";
export { computePcr16, type SentSecret } from "./compute_pcr16.ts";
export { sealWithAge } from "./seal_with_age.ts";
export { type KmsSeal, sealWithKms } from "./seal_with_kms.ts";
export type { SecretInput } from "./secret_input.ts";
export { signSecret, type SignSecretRequest } from "./sign_secret.ts";
export { importSigningKey, type SigningKey } from "./signing_key.ts";
export {
  type KmsSigningClient,
  type KmsSigningKey,
  type KmsSigningRequest,
  signWithKms,
} from "./sign_with_kms.ts";
export { type SealedShares, splitSecret, type SplitSecretRequest } from "./split_secret.ts";
export { joinShares } from "./join_shares.ts";
export type { CallOptions } from "../lib/core/call_options.ts";
export {
  AttestationError,
  DisposedError,
  EnclaveKmsError,
  type ErrorCode,
  type ErrorDetails,
  LibraryLoadError,
  SecretError,
  type SecretFault,
  TimeoutError,
} from "../lib/core/errors.ts";
export { SecretBytes } from "../lib/core/secret_bytes.ts";
