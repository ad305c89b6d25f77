import {
  constants,
  createDecipheriv,
  type Decipheriv,
  generateKeyPair,
  type KeyObject,
  privateDecrypt,
} from "node:crypto";
import { promisify } from "node:util";
import { askForDocument } from "../../nsm/nsm_client.ts";
import type { NsmTransport } from "../../nsm/nsm_transport.ts";
import type { Deadline } from "../../core/deadline.ts";
import { DisposedError } from "../../core/errors.ts";
import { allocateOffHeap, SecretBytes } from "../../core/secret_bytes.ts";
import { type Envelope, envelopeError, readEnvelope } from "./cms_envelope.ts";
import type { Recipient } from "./recipient.ts";

const RSA_BITS = 2048;
const CONTENT_KEY_BYTES = 32;
const BLOCK_BYTES = 16;

/**
 * A recipient that needs no C library: its key pair is node:crypto's, its documents come from the NSM.
 *
 * Not guaranteed: that the private key is wiped. The runtime holds it and frees it when it is collected.
 * Under Deno, RSA takes a time that depends on the key (RUSTSEC-2023-0071); engine `sdk` does not.
 */
export class NsmRecipient implements Recipient {
  readonly #nsm: NsmTransport;
  readonly #ownsNsm: boolean;
  readonly #publicKey: Uint8Array;
  #privateKey: KeyObject | undefined;

  private constructor(nsm: NsmTransport, ownsNsm: boolean, publicKey: Uint8Array, privateKey: KeyObject) {
    this.#nsm = nsm;
    this.#ownsNsm = ownsNsm;
    this.#publicKey = publicKey;
    this.#privateKey = privateKey;
  }

  /**
   * Makes the key pair, on another thread: 16 to 105 ms on Node, 0.2 to 1.1 s on Deno.
   *
   * @param nsm The NSM
   * @param options `owned`: dispose the NSM with the recipient, and also when there will be none
   * @param deadline When to give up
   * @throws {TimeoutError} When the deadline passes
   */
  static async create(
    nsm: NsmTransport,
    options: { owned: boolean },
    deadline: Deadline,
  ): Promise<NsmRecipient> {
    deadline.stage = "key-pair";
    try {
      const { publicKey, privateKey } = await deadline.race(makeKeyPair());
      const spki = publicKey.export({ type: "spki", format: "der" });
      return new NsmRecipient(nsm, options.owned, spki, privateKey);
    } catch (error) {
      if (options.owned) nsm[Symbol.dispose]();
      throw error;
    }
  }

  /** See {@link Recipient.attestationDocument}. */
  attestationDocument(): Promise<Uint8Array> {
    return askForDocument(this.#nsm, { publicKey: this.#publicKey });
  }

  /** See {@link Recipient.open}. */
  open(envelope: Uint8Array): SecretBytes {
    const key = this.#privateKey;
    if (key === undefined) throw new DisposedError("NsmRecipient");
    const parts = readEnvelope(envelope);
    try {
      return withoutStackTraces(() => decryptContent(key, parts));
    } catch {
      throw envelopeError();
    }
  }

  /** Lets go of the private key, and of the NSM if it is its own. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#privateKey = undefined;
    if (this.#ownsNsm) this.#nsm[Symbol.dispose]();
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
