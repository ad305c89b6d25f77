import { randomFillSync } from "node:crypto";
import { allocateOffHeap } from "../core/secret_bytes.ts";
import { KEY_BYTES } from "./message_header.ts";

/** Ids that are drawn at once: a call for one takes as long as an AES-256-GCM of 10 KiB. */
const AT_ONCE = 64;

let drawn = allocateOffHeap(0);

/**
 * Makes a random message id. It is no secret, and never given twice: not to another thread either, which has this
 * module's state for itself. (A process that is continued twice from one image of its memory would draw the same ids; an
 * enclave cannot be.)
 *
 * @returns 32 bytes, to be read only, in memory that ids of other messages share
 */
export function makeMessageId(): Uint8Array<ArrayBuffer> {
  if (drawn.length === 0) drawn = randomFillSync(allocateOffHeap(AT_ONCE * KEY_BYTES));
  const id = drawn.subarray(0, KEY_BYTES);
  drawn = drawn.subarray(KEY_BYTES);
  return id;
}
