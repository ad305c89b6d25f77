/**
 * Shares of a split secret, as they lie in what is sealed for the enclave. Files of shares can be joined one after
 * another: `cat share-1 share-3` is a file of two.
 *
 * @module
 */
import { equalBytes } from "../core/bytes.ts";
import { checkInteger } from "../core/checks.ts";
import { allocateOffHeap } from "../core/secret_bytes.ts";
import { SecretError } from "../core/secret_error.ts";

/** Share of a split secret. */
export interface SecretShare {
  /** Random id of the split, 8 bytes: shares of different splits do not fit. */
  readonly splitId: Uint8Array;
  /** Number of shares that give the secret, 2 to 255. */
  readonly threshold: number;
  /** Share as `shamir-secret-sharing` makes it: one byte longer than the secret, which has at most 65534 bytes. */
  readonly share: Uint8Array;
}

/** First four bytes of a share. No other form begins with them. */
export const SECRET_SHARE_MAGIC: Uint8Array = Uint8Array.of(0x89, 0x45, 0x4b, 0x50);

/** Length of the id of a split, in bytes. */
export const SPLIT_ID_BYTES = 8;

/** Most shares in one file: a split has no more. */
export const MAX_SECRET_SHARES = 255;

const MAX_SHARE_BYTES = 0xffff;
const THRESHOLD_AT = SECRET_SHARE_MAGIC.length + SPLIT_ID_BYTES;
const LENGTH_AT = THRESHOLD_AT + 1;
const HEAD_BYTES = LENGTH_AT + 2;

/**
 * Writes a share: the magic, the split's id, the threshold as one byte, the share's length as 16 bits in network order,
 * and the share.
 *
 * @param share The share; copied, and left for the caller to wipe
 * @returns The bytes, which are as secret as the share, for the caller to wipe
 * @throws {TypeError} When the id is not 8 bytes
 * @throws {RangeError} When the threshold or the share's length is out of range
 */
export function encodeSecretShare({ splitId, threshold, share }: SecretShare): Uint8Array<ArrayBuffer> {
  if (splitId.length !== SPLIT_ID_BYTES) throw new TypeError(`splitId must be ${SPLIT_ID_BYTES} bytes`);
  checkInteger("threshold", threshold, { min: 2, max: MAX_SECRET_SHARES });
  checkInteger("share.length", share.length, { min: 2, max: MAX_SHARE_BYTES });
  const bytes = allocateOffHeap(HEAD_BYTES + share.length);
  bytes.set(SECRET_SHARE_MAGIC);
  bytes.set(splitId, SECRET_SHARE_MAGIC.length);
  bytes[THRESHOLD_AT] = threshold;
  new DataView(bytes.buffer).setUint16(LENGTH_AT, share.length);
  bytes.set(share, HEAD_BYTES);
  return bytes;
}

/**
 * Takes a file of shares apart.
 *
 * @param bytes One share or more, with nothing in between and nothing behind
 * @returns Views of them, 1 to 255
 * @throws {SecretError} With the fault `FRAME`, when it is anything else
 */
export function parseSecretShares(bytes: Uint8Array): readonly SecretShare[] {
  const shares: SecretShare[] = [];
  for (let at = 0; at < bytes.length;) {
    const share = shares.length < MAX_SECRET_SHARES ? readShare(bytes.subarray(at)) : undefined;
    if (share === undefined) throw malformed();
    shares.push(share);
    at += HEAD_BYTES + share.share.length;
  }
  if (shares.length === 0) throw malformed();
  return shares;
}

function readShare(bytes: Uint8Array): SecretShare | undefined {
  const magicBytes = SECRET_SHARE_MAGIC.length;
  if (bytes.length < HEAD_BYTES || !equalBytes(bytes.subarray(0, magicBytes), SECRET_SHARE_MAGIC)) {
    return undefined;
  }
  const length = bytes[LENGTH_AT]! << 8 | bytes[LENGTH_AT + 1]!;
  const threshold = bytes[THRESHOLD_AT]!;
  if (threshold < 2 || length < 2 || length > bytes.length - HEAD_BYTES) return undefined;
  const splitId = bytes.subarray(magicBytes, THRESHOLD_AT);
  return { splitId, threshold, share: bytes.subarray(HEAD_BYTES, HEAD_BYTES + length) };
}

function malformed(): SecretError {
  return new SecretError("FRAME", "Cannot read shares: they are malformed", {
    hint: "Were they made by `enclave-kms secret split`, and joined without anything in between?",
  });
}
