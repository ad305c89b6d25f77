import { SecretBytes } from "../lib/core/secret_bytes.ts";

/** Secret that a caller gives, who keeps the duty to wipe it. */
export type SecretInput = Uint8Array | SecretBytes;

/**
 * Finds the bytes of a secret. Text is refused: it cannot be wiped, and may mean base64 as well as itself.
 *
 * @param field Name of the secret, for the message
 * @param secret The secret
 * @returns Its bytes, not a copy
 * @throws {TypeError} When it is anything else
 */
export function bytesOfSecret(field: string, secret: SecretInput): Uint8Array {
  const bytes = secret instanceof SecretBytes ? secret.bytes : secret;
  if (bytes instanceof Uint8Array) return bytes;
  throw new TypeError(`${field} must be a Uint8Array or SecretBytes`);
}
