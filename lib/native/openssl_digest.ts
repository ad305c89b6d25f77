import { checkOpenssl, type Libcrypto } from "./libcrypto.ts";
import { checkInput, checkLength } from "./openssl_memory.ts";

/** Digest that OpenSSL computes. */
export type DigestName = "sha256" | "sha384" | "sha512";

/** Lengths of the digests, in bytes. */
export const DIGEST_BYTES: Readonly<Record<DigestName, number>> = { sha256: 32, sha384: 48, sha512: 64 };

/** One byte that C is told not to read. */
const NOTHING = new Uint8Array(new ArrayBuffer(1));

/**
 * Hashes bytes into the caller's memory; OpenSSL wipes its own.
 *
 * Corresponds to `EVP_Digest`.
 *
 * @param libcrypto The library
 * @param name Name of the digest
 * @param data Bytes, 0 to 2^31 - 1
 * @param output Memory of the digest's length: 32, 48 or 64 bytes
 * @throws {OpensslError} When OpenSSL fails
 */
export function digestInto(
  libcrypto: Libcrypto,
  name: DigestName,
  data: Uint8Array<ArrayBuffer>,
  output: Uint8Array<ArrayBuffer>,
): void {
  checkInput("data", data);
  checkLength("output", output, DIGEST_BYTES[name]);
  const { call, algorithms } = libcrypto;
  const result = call.EVP_Digest(orNothing(data), data.length, output, null, algorithms[name], null);
  checkOpenssl(libcrypto, result, { action: "hash", cFunction: "EVP_Digest" });
}

/**
 * Computes an HMAC into the caller's memory; OpenSSL wipes its own.
 *
 * Corresponds to `HMAC`.
 *
 * @param libcrypto The library
 * @param name Name of the digest
 * @param key Bytes, 0 to 2^31 - 1
 * @param data Bytes, 0 to 2^31 - 1
 * @param output Memory of the digest's length: 32, 48 or 64 bytes
 * @throws {OpensslError} When OpenSSL fails
 */
export function hmacInto(
  libcrypto: Libcrypto,
  name: DigestName,
  key: Uint8Array<ArrayBuffer>,
  data: Uint8Array<ArrayBuffer>,
  output: Uint8Array<ArrayBuffer>,
): void {
  checkInput("key", key);
  checkInput("data", data);
  checkLength("output", output, DIGEST_BYTES[name]);
  const { call, algorithms } = libcrypto;
  const result = call.HMAC(
    algorithms[name],
    orNothing(key),
    key.length,
    orNothing(data),
    data.length,
    output,
    null,
  );
  checkOpenssl(libcrypto, result, { action: "compute an HMAC", cFunction: "HMAC" });
}

/** Stands for no bytes: NULL would mean another thing, and fails in part. */
function orNothing(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return bytes.length === 0 ? NOTHING : bytes;
}
