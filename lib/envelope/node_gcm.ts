import { createCipheriv, createDecipheriv } from "node:crypto";
import type { SecretBytes } from "../core/secret_bytes.ts";
import type { Gcm } from "./gcm.ts";

const ALGORITHM = "aes-256-gcm";
const TAG_BYTES = 16;

/**
 * Size of the pieces that the plaintext is made in, in bytes. Node's update() writes into a buffer, copies the result
 * out and frees the buffer as it is. glibc keeps a freed buffer of at most 1032 bytes for its thread, and the next call
 * for as many gets it whole: so each piece is overwritten at once. A longer buffer may be reused in part, and the rest
 * stays. This costs much of the speed: 170 MB/s on Node instead of 750.
 */
const PIECE_BYTES = 1000;

/** Bytes by which glibc may round a buffer up, which puts it among buffers of another size. */
const SLACK_BYTES = 16;

const NOTHING_SECRET = new Uint8Array(PIECE_BYTES + SLACK_BYTES);

/**
 * AES-256-GCM of node:crypto, whose keys and copies can be wiped; WebCrypto keeps copies of its own. Not guaranteed:
 * both runtimes keep the expanded key of each call in native memory until the collector frees it.
 */
export class NodeGcm implements Gcm {
  /** Cipher that only overwrites buffers, see {@link PIECE_BYTES}: in a mode without a limit, with a key of zeros. */
  readonly #overwriter = createDecipheriv("aes-256-ctr", new Uint8Array(32), new Uint8Array(16));

  seal(
    key: SecretBytes,
    nonce: Uint8Array,
    associated: Uint8Array,
    plaintext: Uint8Array,
    target: Uint8Array,
  ): void {
    const cipher = createCipheriv(ALGORITHM, key.bytes, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(associated);
    target.set(cipher.update(plaintext));
    cipher.final();
    target.set(cipher.getAuthTag(), plaintext.length);
  }

  open(
    key: SecretBytes,
    nonce: Uint8Array,
    associated: Uint8Array,
    sealed: Uint8Array,
    target: Uint8Array,
  ): boolean {
    const { length } = target;
    const cipher = createDecipheriv(ALGORITHM, key.bytes, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(associated);
    cipher.setAuthTag(sealed.subarray(length));
    for (let offset = 0; offset < length; offset += PIECE_BYTES) {
      const piece = cipher.update(sealed.subarray(offset, Math.min(offset + PIECE_BYTES, length)));
      this.#overwriter.update(NOTHING_SECRET.subarray(0, piece.length));
      this.#overwriter.update(NOTHING_SECRET.subarray(0, piece.length + SLACK_BYTES));
      target.set(piece, offset);
      piece.fill(0);
    }
    try {
      cipher.final();
      return true;
    } catch {
      target.fill(0);
      return false;
    }
  }

  /** Does nothing: each piece is overwritten at once. */
  rest(): void {}

  /** Does nothing: no key is kept. */
  forget(): void {}
}
