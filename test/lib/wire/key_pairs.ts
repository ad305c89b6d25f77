import {
  AEAD_AES_128_GCM,
  CipherSuite,
  KDF_HKDF_SHA256,
  KEM_DHKEM_X25519_HKDF_SHA256,
  type KeyPair,
} from "hpke";
import { decodeHex } from "../../../lib/core/encoding.ts";

const SUITE = new CipherSuite(KEM_DHKEM_X25519_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_AES_128_GCM);

/** Reads a key pair of a document's example, in hex. */
export async function pairOf(secretKey: string, publicKey: string): Promise<KeyPair> {
  return {
    privateKey: await SUITE.DeserializePrivateKey(decodeHex(secretKey)),
    publicKey: await SUITE.DeserializePublicKey(decodeHex(publicKey)),
  };
}

/** Replaces a member of an object until the result is disposed. */
export function replace<T extends object>(target: T, name: keyof T, value: unknown): Disposable {
  Object.defineProperty(target, name, { value, configurable: true });
  return { [Symbol.dispose]: () => void Reflect.deleteProperty(target, name) };
}
