/**
 * Secrets in shares, any `threshold` of which give the secret back, and fewer tell nothing: Shamir's scheme over
 * GF(2^8), by the package shamir-secret-sharing. A share is as long as the secret, and one byte longer: its coordinate.
 *
 * @module
 */
import { equalBytes } from "../core/bytes.ts";
import { checkInteger } from "../core/checks.ts";
import { LibraryLoadError } from "../core/errors.ts";
import { allocateOffHeap, SecretBytes } from "../core/secret_bytes.ts";
import { sha256 as hashSecret } from "../core/sha256.ts";
import { SecretError } from "../core/secret_error.ts";

/** Least length of a secret in bytes: its hash is public, and must not let anybody find a shorter one by trying. */
export const MIN_SHARED_SECRET_BYTES = 16;

/** Greatest length of a secret in bytes. */
export const MAX_SHARED_SECRET_BYTES = 4096;

/** Greatest number of shares of one secret. */
export const MAX_SHARES = 255;

/** Counts of a split. */
export interface ShareCounts {
  /** Number of shares, 2 to 255. */
  readonly shares: number;
  /** Number of shares that give the secret back, 2 to `shares`. */
  readonly threshold: number;
}

/**
 * Splits a secret. Each byte is split on its own, with fresh random numbers.
 *
 * Not guaranteed: that a share is genuine, or belongs to others, which nothing in it tells. {@link joinShares} compares
 * the result's hash. Tables are looked up at places that depend on the secret, so the time it takes may too.
 *
 * @param secret 16 to 4096 bytes that nobody can guess; not kept
 * @param counts Numbers of shares
 * @returns The shares, each one byte longer than the secret, for the caller to wipe
 * @throws {TypeError} When the secret is no Uint8Array
 * @throws {RangeError} When a length or number is out of range
 * @throws {LibraryLoadError} When the optional package shamir-secret-sharing is not installed
 */
export async function splitIntoShares(
  secret: Uint8Array,
  counts: ShareCounts,
): Promise<Uint8Array<ArrayBuffer>[]> {
  if (!(secret instanceof Uint8Array)) throw new TypeError("secret must be a Uint8Array");
  checkInteger("secret.length", secret.length, {
    min: MIN_SHARED_SECRET_BYTES,
    max: MAX_SHARED_SECRET_BYTES,
  });
  const shares = checkInteger("shares", counts.shares, { min: 2, max: MAX_SHARES });
  const threshold = checkInteger("threshold", counts.threshold, { min: 2, max: shares });
  const { split } = await loadScheme();
  const padded = pad(secret);
  const made: Uint8Array[] = [];
  try {
    made.push(...await split(padded, shares, threshold));
    return made.map((share) => resize(share, secret.length));
  } finally {
    for (const bytes of [padded, ...made]) bytes.fill(0);
  }
}

/**
 * Joins shares.
 *
 * @param shares Shares of one secret, at least as many as its threshold, 2 to 255; not kept
 * @param sha256 SHA-256 of the secret, 32 bytes: wrong, mixed and too few shares give some other secret
 * @returns The secret, for the caller to dispose
 * @throws {TypeError} When an argument is of a wrong type, or the hash is not 32 bytes
 * @throws {SecretError} With `ERR_SECRET_OPEN` when they are no shares, or not of one secret; with `ERR_SECRET_HASH` when
 *   the result is another secret than the one of the hash
 * @throws {LibraryLoadError} When the optional package shamir-secret-sharing is not installed
 */
export async function joinShares(shares: readonly Uint8Array[], sha256: Uint8Array): Promise<SecretBytes> {
  if (!(sha256 instanceof Uint8Array) || sha256.length !== SHA256_BYTES) {
    throw new TypeError("sha256 must be 32 bytes");
  }
  const length = checkShares(shares) - 1;
  const { combine } = await loadScheme();
  const padded = shares.map((share) => resize(share, length + PADDING_BYTES));
  let joined: Uint8Array | undefined;
  try {
    joined = await combine(padded);
    const secret = SecretBytes.copyOf(joined.subarray(0, length));
    if (equalBytes(hashSecret(secret.bytes), sha256)) return secret;
    secret[Symbol.dispose]();
  } finally {
    for (const bytes of padded) bytes.fill(0);
    joined?.fill(0);
  }
  throw new SecretError("HASH", "Cannot join shares: they give another secret than the one expected", {
    hint: "Are there fewer shares than the threshold, or is one of them of another secret?",
  });
}

const SHA256_BYTES = 32;

/** Zeros behind the secret: the package's arrays of up to 64 bytes would lie where the collector copies them. */
const PADDING_BYTES = 64;

/**
 * Checks what the package does not: a share at coordinate zero would be taken for the secret itself.
 *
 * @returns The length of each share
 */
function checkShares(shares: readonly Uint8Array[]): number {
  if (!Array.isArray(shares) || !shares.every((share) => share instanceof Uint8Array)) {
    throw new TypeError("shares must be an array of Uint8Arrays");
  }
  const length = shares[0]?.length ?? 0;
  const coordinates = new Set(shares.map((share) => share.at(-1)));
  const isLengthAllowed = length > MIN_SHARED_SECRET_BYTES && length <= MAX_SHARED_SECRET_BYTES + 1;
  if (
    shares.length >= 2 && shares.length <= MAX_SHARES && isLengthAllowed &&
    shares.every((share) => share.length === length) &&
    coordinates.size === shares.length && !coordinates.has(0)
  ) return length;
  throw new SecretError("OPEN", "Cannot join shares: they are not different shares of one secret", {
    hint: "Was one given twice, or is one of another secret?",
  });
}

function pad(secret: Uint8Array): Uint8Array<ArrayBuffer> {
  const padded = allocateOffHeap(secret.length + PADDING_BYTES);
  padded.set(secret);
  return padded;
}

/** Copies a share with fewer bytes before its coordinate, or with zeros there. */
function resize(share: Uint8Array, length: number): Uint8Array<ArrayBuffer> {
  const resized = allocateOffHeap(length + 1);
  resized.set(share.subarray(0, Math.min(length, share.length - 1)));
  resized[length] = share[share.length - 1]!;
  return resized;
}

async function loadScheme(): Promise<typeof import("shamir-secret-sharing")> {
  try {
    return await import("shamir-secret-sharing");
  } catch (cause) {
    throw new LibraryLoadError("Cannot split or join shares: the package shamir-secret-sharing is missing", {
      hint: "It is an optional peer: npm install shamir-secret-sharing@0.0.4",
      cause,
    });
  }
}
