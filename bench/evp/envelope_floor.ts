import { EVP_CTRL_AEAD_GET_TAG, EVP_CTRL_AEAD_SET_TAG } from "../../ffi/libcrypto_symbols.ts";
import { type EnvelopeWorks, MESSAGE_BYTES, STREAM_BYTES } from "../envelope/order.ts";
import { expectOne, memory, openEvp, present } from "./evp.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const FRAME_BYTES = 65_536;
const TAG_BYTES = 16;
const NONCE_BYTES = 12;
/** Bytes that are authenticated with the header, and with each frame. */
const HEADER_BYTES = 300;
const FRAME_CONTEXT_BYTES = 71;
/** Bytes of the names of HKDF's keys, and the counter after them. */
const INFO_BYTES = 12;
const [DECRYPTS, ENCRYPTS] = [0, 1];

/**
 * Makes the calls of EVP that streams and messages of suite 0x0478 cannot do without, and nothing else: HKDF with
 * SHA-512 for key and commitment, as three HMACs; one tag over the header; one AES-256-GCM for each frame. Input and
 * output are the same memory at every turn, which nobody wipes.
 *
 * @throws {Error} When there is no OpenSSL
 */
export function envelopeFloor(): EnvelopeWorks {
  const { call, algorithms: { aes256Gcm, sha512 } } = openEvp();
  const context = present(call.EVP_CIPHER_CTX_new());
  const [dataKey, messageId] = [random(32), random(32)];
  const [extracted, commitment, derived] = [memory(64), memory(64), memory(64)];
  const [header, frameContext, info] = [
    random(HEADER_BYTES),
    random(FRAME_CONTEXT_BYTES),
    random(INFO_BYTES),
  ];
  const [nonce, length, nothing] = [memory(NONCE_BYTES), memory(8), memory(TAG_BYTES)];

  function deriveKeys(): void {
    const hmac = (key: Bytes, data: Bytes, result: Bytes) =>
      void present(call.HMAC(sha512, key, key.length, data, data.length, result, null));
    hmac(messageId, dataKey, extracted);
    hmac(extracted, info, commitment);
    hmac(extracted, info, derived);
    expectOne(call.EVP_CipherInit_ex2(context, aes256Gcm, derived.subarray(0, 32), nonce, ENCRYPTS, null));
  }

  function run(
    direction: number,
    associated: Bytes,
    input: Bytes | undefined,
    output: Bytes,
    tag: Bytes,
  ): void {
    expectOne(call.EVP_CipherInit_ex2(context, null, null, nonce, direction, null));
    expectOne(call.EVP_CipherUpdate(context, null, length, associated, associated.length));
    if (input !== undefined) expectOne(call.EVP_CipherUpdate(context, output, length, input, input.length));
    if (direction === DECRYPTS) {
      expectOne(call.EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag));
    }
    expectOne(call.EVP_CipherFinal_ex(context, nothing, length));
    if (direction === ENCRYPTS) {
      expectOne(call.EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, tag));
    }
  }

  /** Makes the work of a number of frames, after a header. */
  function work(direction: number, frames: number, frameBytes: number): () => void {
    const [plaintext, ciphertext, target] = [random(frameBytes), memory(frameBytes), memory(frameBytes)];
    const [headerTag, tag] = [memory(TAG_BYTES), memory(TAG_BYTES)];
    deriveKeys();
    run(ENCRYPTS, header, undefined, target, headerTag);
    run(ENCRYPTS, frameContext, plaintext, ciphertext, tag);
    const input = direction === ENCRYPTS ? plaintext : ciphertext;
    return () => {
      deriveKeys();
      run(direction, header, undefined, target, headerTag);
      for (let frame = 0; frame < frames; frame++) run(direction, frameContext, input, target, tag);
    };
  }

  const encryptStream = work(ENCRYPTS, STREAM_BYTES / FRAME_BYTES, FRAME_BYTES);
  const decryptStream = work(DECRYPTS, STREAM_BYTES / FRAME_BYTES, FRAME_BYTES);
  return {
    encryptStream,
    decryptStream,
    encryptInto: encryptStream,
    decryptInto: decryptStream,
    encryptMessage: work(ENCRYPTS, 1, MESSAGE_BYTES),
    decryptMessage: work(DECRYPTS, 1, MESSAGE_BYTES),
  };
}

function random(bytes: number): Bytes {
  return crypto.getRandomValues(memory(bytes));
}
