import { Buffer } from "node:buffer";
import {
  createCipheriv,
  createDecipheriv,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
} from "node:crypto";
import { hmac } from "../../lib/core/hmac.ts";
import type { OwnKeyPair, Primitives } from "../../lib/wire/hpke_suites.ts";

const TAG_BYTES = 16;

/**
 * Primitives of node:crypto: they make no copies that stay, while WebCrypto does, and take a third of the time, since a
 * request needs two dozen of them.
 */
export const NODE_PRIMITIVES: Primitives = {
  generate: () => ownPairOf(generateKeyPairSync("x25519")),
  hmac: (key, data) => hmac("sha256", key, data),
  seal(key, nonce, plaintext, aad) {
    const cipher = createCipheriv(cipherOf(key), key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(aad);
    const sealed = new Uint8Array(plaintext.length + TAG_BYTES);
    sealed.set(cipher.update(plaintext));
    cipher.final();
    sealed.set(cipher.getAuthTag(), plaintext.length);
    return sealed;
  },
  open(key, nonce, sealed, aad) {
    const length = sealed.length - TAG_BYTES;
    const cipher = createDecipheriv(cipherOf(key), key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(aad);
    cipher.setAuthTag(sealed.subarray(length));
    const plaintext = cipher.update(sealed.subarray(0, length));
    cipher.final();
    return new Uint8Array(plaintext.buffer, plaintext.byteOffset, plaintext.length);
  },
};

/**
 * Gives a key pair of node:crypto the form that the primitives have.
 *
 * @param pair Key pair on X25519
 */
export function ownPairOf(
  { publicKey, privateKey }: { readonly publicKey: KeyObject; readonly privateKey: KeyObject },
): OwnKeyPair {
  const { x } = publicKey.export({ format: "jwk" });
  return {
    publicKey: decode(x!),
    agree: (theirs) => new Uint8Array(diffieHellman({ privateKey, publicKey: toKey(theirs) })),
  };
}

function toKey(publicKey: Uint8Array): KeyObject {
  return createPublicKey({ key: { kty: "OKP", crv: "X25519", x: encode(publicKey) }, format: "jwk" });
}

function encode(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64url");
}

function decode(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "base64url"));
}

function cipherOf({ length }: Uint8Array): "aes-256-gcm" | "aes-128-gcm" {
  return length === 32 ? "aes-256-gcm" : "aes-128-gcm";
}
