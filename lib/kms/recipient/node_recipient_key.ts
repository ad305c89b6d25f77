import {
  constants,
  createDecipheriv,
  type Decipheriv,
  generateKeyPair,
  type KeyObject,
  privateDecrypt,
} from "node:crypto";
import { promisify } from "node:util";
import { DisposedError } from "../../core/errors.ts";
import { allocateOffHeap, SecretBytes } from "../../core/secret_bytes.ts";
import { type Envelope, envelopeError } from "./read_envelope.ts";
import type { RecipientKey } from "./recipient_key.ts";

const RSA_BITS = 2048;
const CONTENT_KEY_BYTES = 32;
const BLOCK_BYTES = 16;

/**
 * Key pair of node:crypto, for where OpenSSL is not to be had. It opens on this thread.
 *
 * Not guaranteed: that the private key or the last content key is wiped. The runtime holds the one and frees it when it
 * is collected, and frees the other as OAEP pads it, on Deno as it is.
 * Under Deno, RSA takes a time that depends on the key (RUSTSEC-2023-0071).
 */
export class NodeRecipientKey implements RecipientKey {
  /** See {@link RecipientKey.publicKey}. */
  readonly publicKey: Uint8Array<ArrayBuffer>;
  #privateKey: KeyObject | undefined;

  private constructor(publicKey: KeyObject, privateKey: KeyObject) {
    this.publicKey = new Uint8Array(publicKey.export({ type: "spki", format: "der" }));
    this.#privateKey = privateKey;
  }

  /** Makes the key pair, on another thread: 16 to 105 ms on Node, 0.2 to 1.1 s on Deno. */
  static async create(): Promise<NodeRecipientKey> {
    const { publicKey, privateKey } = await makeKeyPair();
    return new NodeRecipientKey(publicKey, privateKey);
  }

  /** See {@link RecipientKey.open}. */
  open(parts: Envelope): SecretBytes {
    const key = this.#privateKey;
    if (key === undefined) throw new DisposedError("NodeRecipientKey");
    try {
      return withoutStackTraces(() => decryptContent(key, parts));
    } catch {
      throw envelopeError();
    }
  }

  /** Lets go of the private key. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#privateKey = undefined;
  }
}

function makeKeyPair(): Promise<{ publicKey: KeyObject; privateKey: KeyObject }> {
  return promisify(generateKeyPair)("rsa", { modulusLength: RSA_BITS, publicExponent: 65_537 });
}

/**
 * Node 24 asks whether a key is a KeyObject or a CryptoKey by throwing, four times for what happens here, and
 * recording where took 5 % of the CPU of a warm decrypt. What is thrown here gets no further anyway.
 */
function withoutStackTraces<T>(body: () => T): T {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return body();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

function decryptContent(key: KeyObject, { wrappedKey, iv, ciphertext }: Envelope): SecretBytes {
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  const contentKey = privateDecrypt({ key, padding, oaepHash: "sha256" }, wrappedKey);
  const padded = allocateOffHeap(ciphertext.length);
  try {
    if (contentKey.length !== CONTENT_KEY_BYTES) throw envelopeError();
    const length = decryptBlocks(createDecipheriv("aes-256-cbc", contentKey, iv), ciphertext, padded);
    return SecretBytes.copyOf(padded.subarray(0, length));
  } finally {
    contentKey.fill(0);
    padded.fill(0);
  }
}

/**
 * Decrypts one block at a time. Node's update() writes into a buffer, copies the result out and frees the
 * buffer as it is; after decrypting a key of 32 bytes in one go, its last 16 bytes were found there every
 * other time. Of a buffer with a single block, malloc's own bookkeeping takes the place of all 16 bytes.
 *
 * @returns Number of bytes of `out` that are plaintext
 */
function decryptBlocks(decipher: Decipheriv, ciphertext: Uint8Array, out: Uint8Array): number {
  let length = 0;
  const take = (part: Uint8Array) => {
    out.set(part, length);
    length += part.length;
    part.fill(0);
  };
  for (let offset = 0; offset < ciphertext.length; offset += BLOCK_BYTES) {
    take(decipher.update(ciphertext.subarray(offset, offset + BLOCK_BYTES)));
  }
  take(decipher.final());
  return length;
}
