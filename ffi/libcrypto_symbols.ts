import type { SymbolTable } from "./symbols.ts";

const CIPHER_CTX = ["pointer EVP_CIPHER_CTX", "EVP_CIPHER_CTX *ctx"] as const;
const PKEY_CTX = ["pointer EVP_PKEY_CTX", "EVP_PKEY_CTX *ctx"] as const;
/** Library context and property query, which are always NULL: those of the process. */
const LIBRARY_CTX = ["pointer? OSSL_LIB_CTX", "OSSL_LIB_CTX *ctx"] as const;
const PROPERTIES = ["bytes?", "const char *properties"] as const;
const FILE = ["bytes?", "const char *file"] as const;
const LINE = ["i32", "int line"] as const;

/**
 * libcrypto of OpenSSL 3, from 3.0 on. Each function is in the library that Node.js exports from itself, too. None
 * takes an ENGINE, but `EVP_Digest`, which gets NULL for it.
 */
export const LIBCRYPTO_SYMBOLS = {
  // <openssl/crypto.h>
  OpenSSL_version_num: { parameters: [], result: ["usize", "unsigned long"] },
  OpenSSL_version: { parameters: [["i32", "int type"]], result: ["pointer c_char", "const char *"] },
  OPENSSL_init_crypto: {
    parameters: [
      ["usize", "uint64_t opts"],
      ["pointer? OPENSSL_INIT_SETTINGS", "const OPENSSL_INIT_SETTINGS *settings"],
    ],
    result: ["i32", "int"],
  },
  OPENSSL_cleanse: {
    parameters: [["bytes", "void *ptr"], ["usize", "size_t len"]],
    result: ["void", "void"],
  },
  OPENSSL_strlcpy: {
    parameters: [["bytes", "char *dst"], ["pointer c_char", "const char *src"], ["usize", "size_t siz"]],
    result: ["usize", "size_t"],
  },
  CRYPTO_free: { parameters: [["pointer any", "void *ptr"], FILE, LINE], result: ["void", "void"] },

  // <openssl/err.h>: one queue for each thread
  ERR_get_error: { parameters: [], result: ["usize", "unsigned long"] },
  ERR_peek_error: { parameters: [], result: ["usize", "unsigned long"] },
  ERR_error_string_n: {
    parameters: [["usize", "unsigned long e"], ["bytes", "char *buf"], ["usize", "size_t len"]],
    result: ["void", "void"],
  },
  ERR_clear_error: { parameters: [], result: ["void", "void"] },

  // <openssl/evp.h>: ciphers
  EVP_CIPHER_fetch: {
    parameters: [LIBRARY_CTX, ["bytes", "const char *algorithm"], PROPERTIES],
    result: ["pointer EVP_CIPHER", "EVP_CIPHER *"],
  },
  EVP_CIPHER_CTX_new: { parameters: [], result: ["pointer EVP_CIPHER_CTX", "EVP_CIPHER_CTX *"] },
  EVP_CIPHER_CTX_free: { parameters: [CIPHER_CTX], result: ["void", "void"] },
  EVP_CIPHER_CTX_ctrl: {
    parameters: [CIPHER_CTX, ["i32", "int type"], ["i32", "int arg"], ["bytes?", "void *ptr"]],
    result: ["i32", "int"],
  },
  EVP_CipherInit_ex2: {
    parameters: [
      CIPHER_CTX,
      ["pointer? EVP_CIPHER", "const EVP_CIPHER *cipher"],
      ["bytes?", "const unsigned char *key"],
      ["bytes?", "const unsigned char *iv"],
      ["i32", "int enc"],
      ["pointer? OSSL_PARAM", "const OSSL_PARAM *params"],
    ],
    result: ["i32", "int"],
  },
  EVP_CipherUpdate: {
    parameters: [
      CIPHER_CTX,
      ["bytes?", "unsigned char *out"],
      ["bytes", "int *outl"],
      ["bytes", "const unsigned char *in"],
      ["i32", "int inl"],
    ],
    result: ["i32", "int"],
  },
  EVP_CipherFinal_ex: {
    parameters: [CIPHER_CTX, ["bytes", "unsigned char *outm"], ["bytes", "int *outl"]],
    result: ["i32", "int"],
  },

  // <openssl/evp.h>, <openssl/hmac.h>: digests
  EVP_MD_fetch: {
    parameters: [LIBRARY_CTX, ["bytes", "const char *algorithm"], PROPERTIES],
    result: ["pointer EVP_MD", "EVP_MD *"],
  },
  EVP_Digest: {
    parameters: [
      ["bytes", "const void *data"],
      ["usize", "size_t count"],
      ["bytes", "unsigned char *md"],
      ["bytes?", "unsigned int *size"],
      ["pointer EVP_MD", "const EVP_MD *type"],
      ["pointer? ENGINE", "ENGINE *impl"],
    ],
    result: ["i32", "int"],
  },
  HMAC: {
    parameters: [
      ["pointer EVP_MD", "const EVP_MD *evp_md"],
      ["bytes", "const void *key"],
      ["i32", "int key_len"],
      ["bytes", "const unsigned char *data"],
      ["usize", "size_t data_len"],
      ["bytes", "unsigned char *md"],
      ["bytes?", "unsigned int *md_len"],
    ],
    result: ["pointer c_uchar", "unsigned char *"],
  },

  // <openssl/evp.h>, <openssl/rsa.h>, <openssl/x509.h>: RSA
  EVP_PKEY_CTX_new_from_name: {
    parameters: [LIBRARY_CTX, ["bytes", "const char *name"], PROPERTIES],
    result: ["pointer EVP_PKEY_CTX", "EVP_PKEY_CTX *"],
  },
  EVP_PKEY_CTX_new_from_pkey: {
    parameters: [LIBRARY_CTX, ["pointer EVP_PKEY", "EVP_PKEY *pkey"], PROPERTIES],
    result: ["pointer EVP_PKEY_CTX", "EVP_PKEY_CTX *"],
  },
  EVP_PKEY_CTX_free: { parameters: [PKEY_CTX], result: ["void", "void"] },
  EVP_PKEY_keygen_init: { parameters: [PKEY_CTX], result: ["i32", "int"] },
  EVP_PKEY_CTX_set_rsa_keygen_bits: { parameters: [PKEY_CTX, ["i32", "int bits"]], result: ["i32", "int"] },
  EVP_PKEY_generate: {
    parameters: [PKEY_CTX, ["pointer any", "EVP_PKEY **ppkey"]],
    result: ["i32", "int"],
    blocking: true,
  },
  EVP_PKEY_free: { parameters: [["pointer EVP_PKEY", "EVP_PKEY *pkey"]], result: ["void", "void"] },
  i2d_PUBKEY: {
    parameters: [["pointer EVP_PKEY", "const EVP_PKEY *a"], ["bytes?", "unsigned char **pp"]],
    result: ["i32", "int"],
  },
  EVP_PKEY_decrypt_init: { parameters: [PKEY_CTX], result: ["i32", "int"] },
  EVP_PKEY_CTX_set_rsa_padding: { parameters: [PKEY_CTX, ["i32", "int pad_mode"]], result: ["i32", "int"] },
  EVP_PKEY_decrypt: {
    parameters: [
      PKEY_CTX,
      ["pointer any", "unsigned char *out"],
      ["pointer any", "size_t *outlen"],
      ["pointer any", "const unsigned char *in"],
      ["usize", "size_t inlen"],
    ],
    result: ["i32", "int"],
    blocking: true,
  },
  RSA_padding_check_PKCS1_OAEP_mgf1: {
    parameters: [
      ["bytes", "unsigned char *to"],
      ["i32", "int tlen"],
      ["pointer any", "const unsigned char *from"],
      ["i32", "int flen"],
      ["i32", "int num"],
      ["bytes?", "const unsigned char *param"],
      ["i32", "int plen"],
      ["pointer EVP_MD", "const EVP_MD *md"],
      ["pointer EVP_MD", "const EVP_MD *mgf1md"],
    ],
    result: ["i32", "int"],
  },
} as const satisfies SymbolTable;

/** <openssl/crypto.h> `OPENSSL_VERSION`: the text that names kind and version. */
export const OPENSSL_VERSION = 0;
/** <openssl/crypto.h>: has OpenSSL run no clean-up when the process ends, beside threads that still work. */
export const OPENSSL_INIT_NO_ATEXIT = 0x0008_0000;
/** <openssl/evp.h> */
export const EVP_CTRL_AEAD_GET_TAG = 0x10;
/** <openssl/evp.h> */
export const EVP_CTRL_AEAD_SET_TAG = 0x11;
/** <openssl/rsa.h> */
export const RSA_NO_PADDING = 3;
