/*
 * A double of the C ABI of aws-nitro-enclaves-sdk-c 0.4.2, for tests: it does the work (keys, attestation,
 * envelopes, KMS over TLS), and besides it keeps a journal of every acquisition and release, notices misuse
 * that the real library punishes with a crash or a hang, and fails or stalls where a test asks for it.
 *
 * control.c     journal, live objects, violations, failure and stall plans (the `double_*` functions)
 * memory.c      allocators, strings, byte buffers, errors
 * library.c     library_init, clean_up, get_allocator
 * crypto.c      libcrypto and libssl by dlopen; key pairs, RSA-OAEP, AES-CBC
 * attestation.c the NSM's ioctl and its CBOR
 * kms_client.c  configuration, client, its operations
 * kms_wire.c    socket, TLS, HTTP, SigV4
 * kms_message.c JSON, base64, CMS
 */
#ifndef SDK_DOUBLE_H
#define SDK_DOUBLE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#define EXPORT __attribute__((visibility("default")))
#define OP_SUCCESS 0
#define OP_ERR (-1)

#pragma GCC visibility push(hidden)

/* ---- structs of the ABI: their layout is the real library's ---- */

struct aws_allocator {
    void *(*mem_acquire)(struct aws_allocator *allocator, size_t size);
    void (*mem_release)(struct aws_allocator *allocator, void *address);
    void *(*mem_realloc)(struct aws_allocator *allocator, void *address, size_t old_size, size_t new_size);
    void *(*mem_calloc)(struct aws_allocator *allocator, size_t count, size_t size);
    void *impl;
};

struct aws_string {
    struct aws_allocator *allocator;
    size_t len;
    uint8_t bytes[]; /* len bytes and a NUL */
};

struct aws_byte_buf {
    size_t len;
    uint8_t *buffer;
    size_t capacity;
    struct aws_allocator *allocator;
};

/* The port is 16 bits wide through aws-c-io 0.13; a zeroed struct of this shape suits both. */
struct aws_socket_endpoint {
    char address[108];
    uint32_t port;
};

struct aws_rsa_keypair {
    struct aws_allocator *allocator;
    void *key_impl;
};

struct aws_credentials; /* opaque, in the real library too */

struct aws_nitro_enclaves_kms_client_configuration {
    struct aws_allocator *allocator;
    const struct aws_string *region;
    const struct aws_socket_endpoint *endpoint;
    int domain;
    struct aws_credentials *credentials;
    void *credentials_provider;
    const struct aws_string *host_name;
};

_Static_assert(sizeof(struct aws_allocator) == 40, "aws_allocator");
_Static_assert(offsetof(struct aws_string, bytes) == 16, "aws_string");
_Static_assert(sizeof(struct aws_byte_buf) == 32, "aws_byte_buf");
_Static_assert(offsetof(struct aws_socket_endpoint, port) == 108, "aws_socket_endpoint");
_Static_assert(sizeof(struct aws_nitro_enclaves_kms_client_configuration) == 56, "configuration");

/* ---- control.c: what a call tells the journal, and what the journal tells the call ---- */

enum kind {
    KIND_LIBRARY,
    KIND_TRACER,
    KIND_MEMORY,
    KIND_STRING,
    KIND_BUFFER,
    KIND_KEYPAIR,
    KIND_CONFIG,
    KIND_CLIENT,
};

enum verdict {
    RELEASE_NOW,   /* the caller frees the object */
    RELEASE_LATER, /* a call still uses it: the last double_unpin() says when */
    RELEASE_NEVER, /* not ours, or freed before */
};

/* Opens every exported function that can fail: blocks while it is stalled, true when the plan fails it. */
bool double_enter(const char *function);
/* Notes a failed call, and sets the last error if a test asked for one. */
void double_failed(const char *function);
void double_called(const char *function);
void double_acquired(enum kind kind, const void *address, size_t size, const char *function);
/* The same for a byte buffer that `function` filled for its caller. */
void double_filled(const void *address, size_t size, const char *function);
/* Ends the life of an object; `size` receives what double_acquired() was told. */
enum verdict double_released(enum kind kind, const void *address, const char *function, size_t *size);
/* Keeps an object alive during a call; false (and a violation) when there is no such object. */
bool double_pin(enum kind kind, const void *address, const char *function);
/* True when the object was released meanwhile and this was its last user: free it now. */
bool double_unpin(const void *address);
/* The sequence number of a live object, 0 for none: it tells an address that was freed and used again. */
uint64_t double_identity(const void *address);
size_t double_count(enum kind kind);
__attribute__((format(printf, 2, 3))) void double_violation(const char *function, const char *format, ...);
bool double_holds_canary(const void *memory, size_t size);
_Noreturn void double_abort(const char *function, const char *reason);

/* ---- memory.c ---- */

extern _Thread_local int32_t double_last_error;

struct aws_allocator *double_default_allocator(void);
void *double_allocate(struct aws_allocator *allocator, size_t size); /* zeroed, never NULL */
void double_free(struct aws_allocator *allocator, void *address);
/* Moves `length` bytes of `from` into a new buffer of exactly that size, as every function of the SDK that
   fills a buffer does. */
void double_fill(struct aws_byte_buf *out, struct aws_allocator *allocator, const uint8_t *from, size_t length,
                 const char *function);
/* A violation when an output struct holds something: the real library overwrites it, or frees garbage. */
void double_expect_zeroed(const struct aws_byte_buf *out, const char *function);

/* A growing buffer that is wiped whenever it moves and when it ends. */
struct bytes {
    uint8_t *data;
    size_t length, capacity;
};
void bytes_append(struct bytes *bytes, const void *data, size_t length);
void bytes_text(struct bytes *bytes, const char *text);
__attribute__((format(printf, 2, 3))) void bytes_printf(struct bytes *bytes, const char *format, ...);
void bytes_wipe(struct bytes *bytes);

/* ---- library.c ---- */

/* The library's allocator; aborts outside library_init..clean_up, as the real one does. */
struct aws_allocator *double_library_allocator(const char *function);

/* ---- crypto.c ---- */

/* Functions of libcrypto.so.3, found by dlopen so that no OpenSSL of the host process is mistaken for it. */
#define CRYPTO_FUNCTIONS(X)                                                                                        \
    X(int, OPENSSL_init_crypto, (uint64_t, const void *))                                                          \
    X(void, ERR_clear_error, (void))                                                                               \
    X(void *, EVP_PKEY_Q_keygen, (void *, const char *, const char *, ...))                                        \
    X(void, EVP_PKEY_free, (void *))                                                                               \
    X(int, EVP_PKEY_up_ref, (void *))                                                                              \
    X(int, EVP_PKEY_get_size, (const void *))                                                                      \
    X(int, i2d_PUBKEY, (const void *, uint8_t **))                                                                 \
    X(void *, EVP_PKEY_CTX_new, (void *, void *))                                                                  \
    X(void, EVP_PKEY_CTX_free, (void *))                                                                           \
    X(int, EVP_PKEY_decrypt_init, (void *))                                                                        \
    X(int, EVP_PKEY_decrypt, (void *, uint8_t *, size_t *, const uint8_t *, size_t))                               \
    X(int, EVP_PKEY_CTX_set_rsa_padding, (void *, int))                                                            \
    X(int, EVP_PKEY_CTX_set_rsa_oaep_md_name, (void *, const char *, const char *))                                \
    X(int, EVP_PKEY_CTX_set_rsa_mgf1_md_name, (void *, const char *, const char *))                                \
    X(void *, EVP_CIPHER_CTX_new, (void))                                                                          \
    X(void, EVP_CIPHER_CTX_free, (void *))                                                                         \
    X(const void *, EVP_aes_256_cbc, (void))                                                                       \
    X(int, EVP_DecryptInit_ex, (void *, const void *, void *, const uint8_t *, const uint8_t *))                   \
    X(int, EVP_DecryptUpdate, (void *, uint8_t *, int *, const uint8_t *, int))                                    \
    X(int, EVP_DecryptFinal_ex, (void *, uint8_t *, int *))                                                        \
    X(const void *, EVP_sha256, (void))                                                                            \
    X(int, EVP_Digest, (const void *, size_t, uint8_t *, unsigned *, const void *, void *))                        \
    X(uint8_t *, HMAC, (const void *, const void *, int, const uint8_t *, size_t, uint8_t *, unsigned *))

struct crypto {
#define X(result, name, parameters) result(*name) parameters;
    CRYPTO_FUNCTIONS(X)
#undef X
};

/* NULL, with a line on stderr, when there is no libcrypto.so.3. */
const struct crypto *crypto(void);
/* Loads the named functions of a library; false when one is missing. */
bool crypto_load(const char *library, const char *const names[], size_t count, void *functions[]);

struct aws_rsa_keypair *keypair_new(struct aws_allocator *allocator, int bits);
void keypair_free(struct aws_rsa_keypair *keypair);
/* Whether all key pairs from now on share one RSA key, which takes a tenth of a second to make. */
void keypair_share(bool share);
/* Both append to `out`, which the caller wipes; false when the input does not decrypt. */
bool rsa_open(const struct aws_rsa_keypair *keypair, const uint8_t *wrapped, size_t length, struct bytes *out);
bool content_open(const uint8_t *ciphertext, size_t length, const uint8_t *key, const uint8_t *iv, struct bytes *out);

/* ---- attestation.c ---- */

bool attestation_document(const struct aws_rsa_keypair *keypair, struct bytes *document);

/* ---- kms_wire.c ---- */

struct connection;
/* NULL when the endpoint does not answer, or TLS fails. */
struct connection *connection_open(const struct aws_socket_endpoint *endpoint, int domain, const char *host_name);
void connection_close(struct connection *connection);

struct aws_credentials {
    struct aws_allocator *allocator;
    atomic_int references;
    struct aws_string *access_key_id, *secret_access_key, *session_token;
};
/* Signs and sends one request; the status of the answer, or -1, and its body. */
int connection_post(struct connection *connection, const char *host_name, const char *region, const char *operation,
                    const struct aws_credentials *credentials, const struct bytes *body, struct bytes *answer);

/* ---- kms_message.c ---- */

struct decrypt_request {
    const struct aws_string *key_id, *encryption_algorithm, *encryption_context;
    const struct aws_byte_buf *ciphertext;
};
/* False when the encryption context is not a JSON object of strings. */
bool decrypt_request_json(const struct decrypt_request *request, const struct bytes *document, struct bytes *json);
void data_key_request_json(const struct aws_string *key_id, bool is_256, const struct bytes *document,
                           struct bytes *json);
void random_request_json(uint32_t number_of_bytes, const struct bytes *document, struct bytes *json);
/* False when the encryption context, which may be NULL, is not a JSON object of strings. */
bool encrypt_request_json(const struct aws_string *key_id, const struct aws_byte_buf *plaintext,
                          const struct aws_string *encryption_context, struct bytes *json);

/* What an answer holds; whoever has it wipes both. */
struct answer {
    bool has_key_id;
    struct bytes envelope, ciphertext;
};
/* False when the real library would turn the answer away. */
bool answer_parse(const struct bytes *json, bool needs_key_id, struct answer *answer);

struct slice {
    const uint8_t *data;
    size_t length;
};
/* The parts of CMS EnvelopedData; the content is gathered into `content`. */
bool envelope_parse(const struct bytes *envelope, struct slice *wrapped_key, struct slice *iv, struct bytes *content);

#pragma GCC visibility pop

#endif
