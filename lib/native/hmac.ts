import { hmac as hmacOfNode, type HmacHash } from "../core/hmac.ts";
import { allocateOffHeap } from "../core/secret_bytes.ts";
import { openLibcrypto } from "./libcrypto.ts";
import { DIGEST_BYTES, hmacInto as hmacOfOpenssl } from "./openssl_digest.ts";

/**
 * Computes HMAC with OpenSSL where there is one, which takes a third of the time and copies the key only into memory
 * that it wipes; otherwise from the hashes of node:crypto, as lib/core/hmac.ts does.
 *
 * @param hash The hash
 * @param key Key of any length
 * @param data Data of any length
 * @returns 32 or 64 bytes, in memory that the collector does not move; the caller wipes them if they are secret
 * @throws {OpensslError} When OpenSSL fails
 */
export function hmac(
  hash: HmacHash,
  key: Uint8Array<ArrayBuffer>,
  data: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
  const result = allocateOffHeap(DIGEST_BYTES[hash]);
  hmacInto(hash, key, data, result);
  return result;
}

/**
 * Computes HMAC as {@link hmac} does, into the caller's memory.
 *
 * @param hash The hash
 * @param key Key of any length
 * @param data Data of any length
 * @param target Memory for the 32 or 64 bytes, which the caller wipes if they are secret
 * @throws {OpensslError} When OpenSSL fails
 */
export function hmacInto(
  hash: HmacHash,
  key: Uint8Array<ArrayBuffer>,
  data: Uint8Array<ArrayBuffer>,
  target: Uint8Array<ArrayBuffer>,
): void {
  const libcrypto = openLibcrypto();
  if (libcrypto !== undefined) return hmacOfOpenssl(libcrypto, hash, key, data, target);
  const result = hmacOfNode(hash, key, data);
  target.set(result);
  result.fill(0);
}
