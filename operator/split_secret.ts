import { checkFields, checkInteger } from "../lib/core/checks.ts";
import { disposeAll } from "../lib/core/dispose_all.ts";
import { SecretBytes } from "../lib/core/secret_bytes.ts";
import { sha256 } from "../lib/core/sha256.ts";
import { MAX_SHARES, splitIntoShares } from "../lib/wire/key_shares.ts";
import { encodeSecretShare, SPLIT_ID_BYTES } from "../lib/wire/secret_shares.ts";
import { joinShares } from "./join_shares.ts";
import { checkRecipients, sealWithAge } from "./seal_with_age.ts";
import { bytesOfSecret, type SecretInput } from "./secret_input.ts";

/** Secret to split, and who gets a share. */
export interface SplitSecretRequest {
  /** Secret of 16 to 4096 bytes that nobody can guess: its SHA-256 becomes public. The caller must wipe it. */
  readonly secret: SecretInput;
  /** Number of shares that give the secret back, 2 to the number of recipients. */
  readonly threshold: number;
  /** One `age1…` for each share, 2 to 255; the same one may stand there several times. */
  readonly recipients: readonly string[];
}

/** Result of {@link splitSecret}. */
export interface SealedShares {
  /** Shares as age files, in the order of the recipients. */
  readonly shares: readonly Uint8Array<ArrayBuffer>[];
  /** SHA-256 of the secret, 32 bytes, for the enclave to pin. */
  readonly sha256: Uint8Array<ArrayBuffer>;
}

const FIELDS = ["secret", "threshold", "recipients"];

/**
 * Splits a secret into shares, and seals each with age. Any `threshold` of them give the secret back, and fewer tell
 * nothing about it; the enclave joins them and compares the hash. They are joined once before they are returned.
 *
 * The optional package shamir-secret-sharing must be installed. Not guaranteed: see {@link sealWithAge}.
 *
 * @param request Secret, threshold and recipients
 * @returns The sealed shares, and the hash to pin
 * @throws {TypeError} When a field is missing, unknown or of a wrong type
 * @throws {RangeError} When a number or length is out of range
 * @throws {LibraryLoadError} When shamir-secret-sharing is not installed
 * @example
 * ```ts
 * import { AgeKeyPair, splitSecret } from "enclave-kms/operator";
 *
 * using keys = await AgeKeyPair.generate(); // the enclave's: it opens all of them
 * const secret = crypto.getRandomValues(new Uint8Array(32));
 * const recipients = Array<string>(5).fill(keys.recipient);
 * const { shares, sha256 } = await splitSecret({ secret, threshold: 3, recipients });
 * shares.length; // 5
 * sha256.length; // 32
 * ```
 */
export async function splitSecret(request: SplitSecretRequest): Promise<SealedShares> {
  const { secret, threshold, recipients } = checkFields("split secret request", request, FIELDS);
  const bytes = bytesOfSecret("secret", secret);
  const count = checkInteger("recipients.length", checkRecipients(recipients, MAX_SHARES).length, {
    min: 2,
    max: MAX_SHARES,
  });
  const needed = checkInteger("threshold", threshold, { min: 2, max: count });
  const files = await shareFiles(bytes, needed, count);
  try {
    const hash = sha256(bytes);
    (await joinShares(files.slice(0, needed), hash))[Symbol.dispose]();
    const sealed = await Promise.all(files.map((file, index) => sealWithAge(file, [recipients[index]!])));
    return { shares: sealed, sha256: hash };
  } finally {
    disposeAll(files);
  }
}

/** Splits a secret into files of one share each, for the caller to dispose. */
async function shareFiles(secret: Uint8Array, threshold: number, count: number): Promise<SecretBytes[]> {
  const splitId = crypto.getRandomValues(new Uint8Array(SPLIT_ID_BYTES));
  const shares = await splitIntoShares(secret, { shares: count, threshold });
  try {
    return shares.map((share) => new SecretBytes(encodeSecretShare({ splitId, threshold, share })));
  } finally {
    for (const share of shares) share.fill(0);
  }
}
