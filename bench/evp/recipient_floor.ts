import { constants, randomBytes } from "node:crypto";
import type { Primitives, Sealed } from "../paths/primitives.ts";
import { type EvpRsa, expectOne, intIn, memory, openEvp, openRsa, present } from "./evp.ts";

const RSA_BITS = 2048;
const RSA_BYTES = RSA_BITS / 8;
const BLOCK_BYTES = 16;
const RSA_NAME = new TextEncoder().encode("RSA\0");
const [DECRYPTS, ENCRYPTS] = [0, 1];

type Key = Parameters<EvpRsa["call"]["EVP_PKEY_CTX_new_from_pkey"]>[1];
type Context = Parameters<EvpRsa["call"]["EVP_PKEY_decrypt_init"]>[0];
type Sha256 = Parameters<EvpRsa["call"]["EVP_PKEY_CTX_set_rsa_oaep_md"]>[1];

/** Context for one opening at a time, and its memory. */
interface Lane {
  readonly context: Context;
  readonly contentKey: Uint8Array<ArrayBuffer>;
  readonly length: Uint8Array<ArrayBuffer>;
}

/**
 * Makes the primitives of a decrypt from EVP's calls alone. An opening runs on this thread when it is the only one,
 * and on another one when more are in flight. Nothing is freed or wiped.
 */
export function evpPrimitives(): Primitives {
  const evp = openEvp();
  const { call, algorithms: { sha256, aes256Cbc } } = evp;
  const rsa = openRsa(evp);
  const key = generateKey(rsa);
  const cipher = present(call.EVP_CIPHER_CTX_new());
  const [digest, length] = [memory(32), memory(8)];
  const idle: Lane[] = [];
  let inFlight = 0;

  function newLane(): Lane {
    const context = makeContext(rsa, key, rsa.call.EVP_PKEY_decrypt_init, sha256);
    return { context, contentKey: memory(RSA_BYTES), length: memory(8) };
  }

  /** Runs AES-256-CBC, and returns what it wrote. */
  function runCipher(
    direction: number,
    contentKey: Sealed["iv"],
    iv: Sealed["iv"],
    input: Sealed["content"],
  ) {
    const output = memory(input.length + 2 * BLOCK_BYTES);
    expectOne(call.EVP_CipherInit_ex2(cipher, aes256Cbc, contentKey, iv, direction, null));
    expectOne(call.EVP_CipherUpdate(cipher, output, length, input, input.length));
    const written = intIn(length);
    expectOne(call.EVP_CipherFinal_ex(cipher, output.subarray(written), length));
    return output.subarray(0, written + intIn(length));
  }

  return {
    digest: (data) => expectOne(call.EVP_Digest(data, data.length, digest, null, sha256, null)),
    hmac: (hmacKey, data) =>
      void present(call.HMAC(sha256, hmacKey, hmacKey.length, data, data.length, digest, null)),
    seal(plaintext) {
      const [contentKey, iv] = [fresh(32), fresh(BLOCK_BYTES)];
      const content = runCipher(ENCRYPTS, contentKey, iv, plaintext);
      const context = makeContext(rsa, key, rsa.call.EVP_PKEY_encrypt_init, sha256);
      const wrappedKey = memory(RSA_BYTES);
      setSize(length, RSA_BYTES);
      expectOne(rsa.call.EVP_PKEY_encrypt(context, wrappedKey, length, contentKey, contentKey.length));
      return { wrappedKey, iv, content };
    },
    async open({ wrappedKey, iv, content }) {
      const lane = idle.pop() ?? newLane();
      const { context, contentKey, length: keyLength } = lane;
      inFlight++;
      try {
        setSize(keyLength, RSA_BYTES);
        const decrypt = inFlight > 1 ? rsa.callAsync.EVP_PKEY_decrypt : rsa.call.EVP_PKEY_decrypt;
        expectOne(await decrypt(context, contentKey, keyLength, wrappedKey, wrappedKey.length));
        return runCipher(DECRYPTS, contentKey.subarray(0, 32), iv, content);
      } finally {
        inFlight--;
        idle.push(lane);
      }
    },
  };
}

function generateKey({ call }: EvpRsa): Key {
  const context = present(call.EVP_PKEY_CTX_new_from_name(null, RSA_NAME, null));
  expectOne(call.EVP_PKEY_keygen_init(context));
  expectOne(call.EVP_PKEY_CTX_set_rsa_keygen_bits(context, RSA_BITS));
  const place = memory(8);
  expectOne(call.EVP_PKEY_generate(context, place));
  return new DataView(place.buffer).getBigUint64(0, true) as Key;
}

function makeContext(
  { call }: EvpRsa,
  key: Key,
  begin: (context: Context) => number,
  sha256: Sha256,
): Context {
  const context = present(call.EVP_PKEY_CTX_new_from_pkey(null, key, null));
  expectOne(begin(context));
  expectOne(call.EVP_PKEY_CTX_set_rsa_padding(context, constants.RSA_PKCS1_OAEP_PADDING));
  expectOne(call.EVP_PKEY_CTX_set_rsa_oaep_md(context, sha256));
  return context;
}

function fresh(bytes: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(randomBytes(bytes));
}

/** Writes a `size_t`. */
function setSize(place: Uint8Array<ArrayBuffer>, size: number): void {
  new DataView(place.buffer).setBigUint64(0, BigInt(size), true);
}
