import { equalBytes } from "../lib/core/bytes.ts";
import type { SecretBytes } from "../lib/core/secret_bytes.ts";
import { SecretError } from "../lib/core/secret_error.ts";
import { joinShares as join } from "../lib/wire/key_shares.ts";
import { parseSecretShares } from "../lib/wire/secret_shares.ts";
import { bytesOfSecret, type SecretInput } from "./secret_input.ts";

/**
 * Joins shares as the enclave does, to verify that they give the secret back.
 *
 * @param files Files of one share or more, decrypted, of one split; the caller must wipe them
 * @param sha256 SHA-256 of the secret, 32 bytes, as {@link splitSecret} returned it
 * @returns The secret. Dispose it with `using`
 * @throws {TypeError} When an argument is of a wrong type, or the hash is not 32 bytes
 * @throws {SecretError} With `ERR_SECRET_FRAME` when a file is malformed, `ERR_SECRET_OPEN` when they are too few, one is
 *   there twice or of another split, and `ERR_SECRET_HASH` when they give another secret
 * @throws {LibraryLoadError} When the optional package shamir-secret-sharing is not installed
 */
export async function joinShares(files: readonly SecretInput[], sha256: Uint8Array): Promise<SecretBytes> {
  if (!Array.isArray(files)) throw new TypeError("files must be an array");
  const shares = files.flatMap((file, index) => parseSecretShares(bytesOfSecret(`files[${index}]`, file)));
  const [first] = shares;
  const isOneSplit = shares.every(({ splitId, threshold }) =>
    equalBytes(splitId, first!.splitId) && threshold === first!.threshold
  );
  if (first === undefined || !isOneSplit || shares.length < first.threshold) {
    throw new SecretError("OPEN", "Cannot join shares: they are too few, or not all of one split", {
      hint: first === undefined ? "There is none" : `That split needs ${first.threshold} of its shares`,
    });
  }
  return await join(shares.map(({ share }) => share), sha256);
}
