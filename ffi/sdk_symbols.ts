import type { SymbolTable } from "./symbols.ts";

const ALLOCATOR = ["pointer aws_allocator", "struct aws_allocator *allocator"] as const;
const BYTE_BUF = ["bytes", "struct aws_byte_buf *buf"] as const;
const KEY_PAIR = ["pointer aws_rsa_keypair", "struct aws_rsa_keypair *keypair"] as const;
const CLIENT = [
  "pointer aws_nitro_enclaves_kms_client",
  "struct aws_nitro_enclaves_kms_client *client",
] as const;
const STRING = ["pointer aws_string", "struct aws_string *str"] as const;

/**
 * aws-nitro-enclaves-sdk-c 0.4.2 and what it exports of aws-c-common 0.8.0, by way of the one handle.
 *
 * The six AWS strings and buffers that Decrypt takes are `struct aws_byte_buf` of 32 bytes in our own
 * memory (`bytes`, see layouts.ts) and `struct aws_string` in C's.
 */
export const SDK_SYMBOLS = {
  // <aws/nitro_enclaves/nitro_enclaves.h>
  aws_nitro_enclaves_library_init: {
    parameters: [["pointer? aws_allocator", "struct aws_allocator *allocator"]],
    result: ["void", "void"],
  },
  aws_nitro_enclaves_library_clean_up: { parameters: [], result: ["void", "void"] },
  aws_nitro_enclaves_get_allocator: {
    parameters: [],
    result: ["pointer aws_allocator", "struct aws_allocator *"],
  },

  // <aws/nitro_enclaves/attestation.h>
  aws_attestation_rsa_keypair_new: {
    parameters: [ALLOCATOR, ["i32", "enum aws_rsa_key_size key_size"]],
    result: ["pointer aws_rsa_keypair", "struct aws_rsa_keypair *"],
    blocking: true,
  },
  aws_attestation_rsa_keypair_destroy: { parameters: [KEY_PAIR], result: ["void", "void"] },
  aws_attestation_request: {
    parameters: [ALLOCATOR, KEY_PAIR, ["bytes", "struct aws_byte_buf *attestation_doc"]],
    result: ["i32", "int"],
    blocking: true,
  },
  aws_attestation_rsa_decrypt: {
    parameters: [
      ALLOCATOR,
      KEY_PAIR,
      ["bytes", "struct aws_byte_buf *ciphertext"],
      ["bytes", "struct aws_byte_buf *plaintext"],
    ],
    result: ["i32", "int"],
  },

  // <aws/nitro_enclaves/internal/cms.h>
  aws_cms_cipher_decrypt: {
    parameters: [
      ["bytes", "struct aws_byte_buf *ciphertext"],
      ["bytes", "struct aws_byte_buf *key"],
      ["bytes", "struct aws_byte_buf *iv"],
      ["bytes", "struct aws_byte_buf *plaintext"],
    ],
    result: ["i32", "int"],
  },

  // <aws/nitro_enclaves/kms.h>
  aws_nitro_enclaves_kms_client_config_default: {
    parameters: [
      ["pointer aws_string", "struct aws_string *region"],
      ["pointer aws_socket_endpoint", "struct aws_socket_endpoint *endpoint"],
      ["i32", "enum aws_socket_domain domain"],
      ["pointer aws_string", "struct aws_string *access_key_id"],
      ["pointer aws_string", "struct aws_string *secret_access_key"],
      ["pointer aws_string", "struct aws_string *session_token"],
    ],
    result: [
      "pointer aws_nitro_enclaves_kms_client_configuration",
      "struct aws_nitro_enclaves_kms_client_configuration *",
    ],
  },
  aws_nitro_enclaves_kms_client_config_destroy: {
    parameters: [[
      "pointer aws_nitro_enclaves_kms_client_configuration",
      "struct aws_nitro_enclaves_kms_client_configuration *config",
    ]],
    result: ["void", "void"],
  },
  aws_nitro_enclaves_kms_client_new: {
    parameters: [[
      "pointer aws_nitro_enclaves_kms_client_configuration",
      "struct aws_nitro_enclaves_kms_client_configuration *configuration",
    ]],
    result: ["pointer aws_nitro_enclaves_kms_client", "struct aws_nitro_enclaves_kms_client *"],
  },
  aws_nitro_enclaves_kms_client_destroy: { parameters: [CLIENT], result: ["void", "void"] },
  aws_kms_decrypt_blocking: {
    parameters: [
      CLIENT,
      ["pointer? aws_string", "const struct aws_string *key_id"],
      ["pointer? aws_string", "const struct aws_string *encryption_algorithm"],
      ["bytes", "const struct aws_byte_buf *ciphertext"],
      ["bytes", "struct aws_byte_buf *plaintext"],
    ],
    result: ["i32", "int"],
  },
  /** From 0.4.2. */
  aws_kms_decrypt_blocking_with_context: {
    parameters: [
      CLIENT,
      ["pointer? aws_string", "const struct aws_string *key_id"],
      ["pointer? aws_string", "const struct aws_string *encryption_algorithm"],
      ["bytes", "const struct aws_byte_buf *ciphertext"],
      ["pointer? aws_string", "const struct aws_string *encryption_context"],
      ["bytes", "struct aws_byte_buf *plaintext"],
    ],
    result: ["i32", "int"],
    optional: true,
  },
  aws_kms_encrypt_blocking_with_context: {
    parameters: [
      CLIENT,
      ["pointer aws_string", "const struct aws_string *key_id"],
      ["bytes", "const struct aws_byte_buf *plaintext"],
      ["pointer? aws_string", "const struct aws_string *encryption_context"],
      ["bytes", "struct aws_byte_buf *ciphertext_blob"],
    ],
    result: ["i32", "int"],
    optional: true,
  },
  aws_kms_generate_data_key_blocking: {
    parameters: [
      CLIENT,
      ["pointer aws_string", "const struct aws_string *key_id"],
      ["i32", "enum aws_key_spec key_spec"],
      ["bytes", "struct aws_byte_buf *plaintext"],
      ["bytes", "struct aws_byte_buf *ciphertext_blob"],
    ],
    result: ["i32", "int"],
    optional: true,
  },
  aws_kms_generate_random_blocking: {
    parameters: [
      CLIENT,
      ["u32", "uint32_t number_of_bytes"],
      ["bytes", "struct aws_byte_buf *plaintext"],
    ],
    result: ["i32", "int"],
    optional: true,
  },

  // <aws/common/allocator.h>
  aws_default_allocator: { parameters: [], result: ["pointer aws_allocator", "struct aws_allocator *"] },
  aws_mem_calloc: {
    parameters: [ALLOCATOR, ["usize", "size_t num"], ["usize", "size_t size"]],
    result: ["pointer void", "void *"],
  },
  aws_mem_release: { parameters: [ALLOCATOR, ["pointer any", "void *ptr"]], result: ["void", "void"] },
  aws_mem_tracer_new: {
    parameters: [
      ALLOCATOR,
      ["pointer? aws_allocator", "struct aws_allocator *deprecated"],
      ["i32", "enum aws_mem_trace_level level"],
      ["usize", "size_t frames_per_stack"],
    ],
    result: ["pointer aws_allocator", "struct aws_allocator *"],
  },
  aws_mem_tracer_count: {
    parameters: [["pointer aws_allocator", "struct aws_allocator *trace_allocator"]],
    result: ["usize", "size_t"],
  },

  // <aws/common/string.h>
  aws_string_new_from_array: {
    parameters: [ALLOCATOR, ["bytes", "const uint8_t *bytes"], ["usize", "size_t len"]],
    result: ["pointer aws_string", "struct aws_string *"],
  },
  aws_string_destroy: { parameters: [STRING], result: ["void", "void"] },
  aws_string_destroy_secure: { parameters: [STRING], result: ["void", "void"] },

  // <aws/common/byte_buf.h>
  aws_byte_buf_init: {
    parameters: [BYTE_BUF, ALLOCATOR, ["usize", "size_t capacity"]],
    result: ["i32", "int"],
  },
  aws_byte_buf_write: {
    parameters: [BYTE_BUF, ["bytes", "const uint8_t *src"], ["usize", "size_t len"]],
    result: ["bool", "bool"],
  },
  aws_byte_buf_clean_up_secure: { parameters: [BYTE_BUF], result: ["void", "void"] },

  // <aws/common/error.h>
  aws_last_error: { parameters: [], result: ["i32", "int"] },
  aws_reset_error: { parameters: [], result: ["void", "void"] },
  aws_error_name: { parameters: [["i32", "int err"]], result: ["pointer c_char", "const char *"] },
} as const satisfies SymbolTable;
