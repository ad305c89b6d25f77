import { existsSync } from "node:fs";
import process from "node:process";
import type { NativeLibrary, SymbolTable } from "../../ffi/symbols.ts";
import { type Libcrypto, openLibcrypto } from "../../lib/native/libcrypto.ts";
import { openLibrary } from "../../lib/native/open_library.ts";

const PKEY_CTX = ["pointer EVP_PKEY_CTX", "EVP_PKEY_CTX *ctx"] as const;
const LIBRARY_CTX = ["pointer? OSSL_LIB_CTX", "OSSL_LIB_CTX *ctx"] as const;
const PROPERTIES = ["bytes?", "const char *properties"] as const;
const PKEY_CRYPT = [
  PKEY_CTX,
  ["bytes", "unsigned char *out"],
  ["bytes", "size_t *outlen"],
  ["bytes", "const unsigned char *in"],
  ["usize", "size_t inlen"],
] as const;

/** RSA with OpenSSL's own padding, both ways: the product declares only what it needs, in its own way. */
const RSA_SYMBOLS = {
  EVP_PKEY_CTX_new_from_name: {
    parameters: [LIBRARY_CTX, ["bytes", "const char *name"], PROPERTIES],
    result: ["pointer EVP_PKEY_CTX", "EVP_PKEY_CTX *"],
  },
  EVP_PKEY_CTX_new_from_pkey: {
    parameters: [LIBRARY_CTX, ["pointer EVP_PKEY", "EVP_PKEY *pkey"], PROPERTIES],
    result: ["pointer EVP_PKEY_CTX", "EVP_PKEY_CTX *"],
  },
  EVP_PKEY_keygen_init: { parameters: [PKEY_CTX], result: ["i32", "int"] },
  EVP_PKEY_CTX_set_rsa_keygen_bits: { parameters: [PKEY_CTX, ["i32", "int bits"]], result: ["i32", "int"] },
  EVP_PKEY_generate: { parameters: [PKEY_CTX, ["bytes", "EVP_PKEY **ppkey"]], result: ["i32", "int"] },
  EVP_PKEY_encrypt_init: { parameters: [PKEY_CTX], result: ["i32", "int"] },
  EVP_PKEY_encrypt: { parameters: PKEY_CRYPT, result: ["i32", "int"] },
  EVP_PKEY_decrypt_init: { parameters: [PKEY_CTX], result: ["i32", "int"] },
  EVP_PKEY_decrypt: { parameters: PKEY_CRYPT, result: ["i32", "int"], blocking: true },
  EVP_PKEY_CTX_set_rsa_padding: { parameters: [PKEY_CTX, ["i32", "int pad_mode"]], result: ["i32", "int"] },
  EVP_PKEY_CTX_set_rsa_oaep_md: {
    parameters: [PKEY_CTX, ["pointer EVP_MD", "const EVP_MD *md"]],
    result: ["i32", "int"],
  },
} as const satisfies SymbolTable;

/** RSA of OpenSSL. */
export type EvpRsa = NativeLibrary<typeof RSA_SYMBOLS>;

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "x86_64", arm64: "aarch64" };

/** Finds the library that Deno needs; Node.js has OpenSSL in itself. */
export function findSystemLibcrypto(): string | undefined {
  const folder = `${ARCHITECTURES[process.arch] ?? process.arch}-linux-gnu`;
  return [`/usr/lib/${folder}/libcrypto.so.3`, "/usr/lib64/libcrypto.so.3", "/usr/lib/libcrypto.so.3"]
    .find((path) => existsSync(path));
}

/**
 * Opens OpenSSL for a floor: its calls are through this runtime's loader, with the checks of arguments that every call
 * into C has.
 *
 * @throws {Error} When there is none
 */
export function openEvp(): Libcrypto {
  const evp = openLibcrypto();
  if (evp === undefined) throw new Error("There is no OpenSSL for a floor");
  return evp;
}

/** Opens RSA in the same library. */
export function openRsa({ origin }: Libcrypto): EvpRsa {
  return openLibrary(origin === "node" ? null : origin, RSA_SYMBOLS);
}

/** Throws unless a call returned 1. */
export function expectOne(result: number): void {
  if (result !== 1) throw new Error(`A call of OpenSSL returned ${result}`);
}

/** Throws when a call returned NULL. */
export function present<T>(pointer: T | null): T {
  if (pointer === null) throw new Error("A call of OpenSSL returned NULL");
  return pointer;
}

/** Makes memory that C may write to: outside of the heap, where nothing moves it. */
export function memory(bytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(bytes));
}

/** Reads an `int` that C wrote. */
export function intIn(place: Uint8Array<ArrayBuffer>): number {
  return new DataView(place.buffer).getInt32(0, true);
}
