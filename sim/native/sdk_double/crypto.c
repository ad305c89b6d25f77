/* Key pairs and envelopes over libcrypto. */
#include "double.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* Values of OpenSSL 3's headers, which this file does without. */
#define RSA_PKCS1_OAEP_PADDING 4
#define OPENSSL_INIT_NO_LOAD_CONFIG 0x00000080L
#define OPENSSL_INIT_NO_ATEXIT 0x00080000L

#define AES_KEY_BYTES 32
#define AES_BLOCK_BYTES 16
/* The real library puts the content on the C stack, which is small on the threads of FFI loaders. */
#define MAX_CONTENT_BYTES (16 << 10)

/* musl has no deep binding; glibc needs it, or libssl finds the OpenSSL that Node exports. */
#ifndef RTLD_DEEPBIND
#define RTLD_DEEPBIND 0
#endif

bool crypto_load(const char *library, const char *const names[], size_t count, void *functions[])
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    for (size_t i = 0; handle && i < count; i++)
        if (!(functions[i] = dlsym(handle, names[i]))) handle = NULL;
    if (!handle) fprintf(stderr, "sdk double: %s\n", dlerror());
    return handle != NULL;
}

static union {
    struct crypto functions;
    void *pointers[sizeof(struct crypto) / sizeof(void *)];
} loaded;
static bool is_loaded;

static void load(void)
{
#define X(result, name, parameters) #name,
    static const char *const names[] = {CRYPTO_FUNCTIONS(X)};
#undef X
    is_loaded = crypto_load("libcrypto.so.3", names, sizeof names / sizeof *names, loaded.pointers);
    if (is_loaded)
        loaded.functions.OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL);
}

const struct crypto *crypto(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    return is_loaded ? &loaded.functions : NULL;
}

/* ---- key pairs ---- */

static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;
static bool is_shared;
static void *shared_key;

void keypair_share(bool share)
{
    pthread_mutex_lock(&shared_lock);
    is_shared = share;
    if (shared_key) crypto()->EVP_PKEY_free(shared_key);
    shared_key = NULL;
    pthread_mutex_unlock(&shared_lock);
}

static void *rsa_key(const struct crypto *c, int bits)
{
    pthread_mutex_lock(&shared_lock);
    void *key = shared_key && c->EVP_PKEY_get_size(shared_key) * 8 == bits ? shared_key : NULL;
    if (!key) key = c->EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits);
    if (key && is_shared && !shared_key) shared_key = key;
    if (key && key == shared_key) c->EVP_PKEY_up_ref(key);
    pthread_mutex_unlock(&shared_lock);
    return key;
}

struct aws_rsa_keypair *keypair_new(struct aws_allocator *allocator, int bits)
{
    const struct crypto *c = crypto();
    void *key = c ? rsa_key(c, bits) : NULL;
    if (!key) return NULL;
    struct aws_rsa_keypair *keypair = double_allocate(allocator, sizeof *keypair);
    keypair->allocator = allocator;
    keypair->key_impl = key;
    return keypair;
}

void keypair_free(struct aws_rsa_keypair *keypair)
{
    crypto()->EVP_PKEY_free(keypair->key_impl);
    double_free(keypair->allocator, keypair);
}

EXPORT struct aws_rsa_keypair *aws_attestation_rsa_keypair_new(struct aws_allocator *allocator, int key_size)
{
    if (!allocator) allocator = double_library_allocator(__func__);
    struct aws_rsa_keypair *keypair = double_enter(__func__) ? NULL : keypair_new(allocator, key_size);
    if (keypair) double_acquired(KIND_KEYPAIR, keypair, sizeof *keypair, __func__);
    else double_failed(__func__);
    return keypair;
}

EXPORT void aws_attestation_rsa_keypair_destroy(struct aws_rsa_keypair *keypair)
{
    size_t size;
    if (keypair && double_released(KIND_KEYPAIR, keypair, __func__, &size) == RELEASE_NOW) keypair_free(keypair);
}

/* ---- opening ---- */

static bool set_oaep_sha256(const struct crypto *c, void *context)
{
    return c->EVP_PKEY_decrypt_init(context) == 1 &&
           c->EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1 &&
           c->EVP_PKEY_CTX_set_rsa_oaep_md_name(context, "SHA256", NULL) == 1 &&
           c->EVP_PKEY_CTX_set_rsa_mgf1_md_name(context, "SHA256", NULL) == 1;
}

bool rsa_open(const struct aws_rsa_keypair *keypair, const uint8_t *wrapped, size_t length, struct bytes *out)
{
    const struct crypto *c = crypto();
    size_t size = (size_t)c->EVP_PKEY_get_size(keypair->key_impl);
    uint8_t *opened = calloc(1, size);
    void *context = c->EVP_PKEY_CTX_new(keypair->key_impl, NULL);
    size_t opened_length = size;
    bool ok = opened && context && set_oaep_sha256(c, context) &&
              c->EVP_PKEY_decrypt(context, opened, &opened_length, wrapped, length) == 1;
    if (ok) bytes_append(out, opened, opened_length);
    c->EVP_PKEY_CTX_free(context);
    c->ERR_clear_error();
    if (opened) explicit_bzero(opened, size);
    free(opened);
    return ok;
}

bool content_open(const uint8_t *ciphertext, size_t length, const uint8_t *key, const uint8_t *iv, struct bytes *out)
{
    const struct crypto *c = crypto();
    if (!c || length > INT32_MAX - AES_BLOCK_BYTES) return false;
    size_t size = length + AES_BLOCK_BYTES;
    uint8_t *opened = calloc(1, size);
    void *context = c->EVP_CIPHER_CTX_new();
    int body = 0, tail = 0;
    bool ok = opened && context && c->EVP_DecryptInit_ex(context, c->EVP_aes_256_cbc(), NULL, key, iv) == 1 &&
              c->EVP_DecryptUpdate(context, opened, &body, ciphertext, (int)length) == 1 &&
              c->EVP_DecryptFinal_ex(context, opened + body, &tail) == 1;
    if (ok) bytes_append(out, opened, (size_t)(body + tail));
    c->EVP_CIPHER_CTX_free(context);
    c->ERR_clear_error();
    if (opened) explicit_bzero(opened, size);
    free(opened);
    return ok;
}

EXPORT int aws_attestation_rsa_decrypt(struct aws_allocator *allocator, struct aws_rsa_keypair *keypair,
                                       struct aws_byte_buf *ciphertext, struct aws_byte_buf *plaintext)
{
    double_called(__func__);
    if (!allocator) allocator = double_library_allocator(__func__);
    double_expect_zeroed(plaintext, __func__);
    if (!double_pin(KIND_KEYPAIR, keypair, __func__)) return double_failed(__func__), OP_ERR;
    struct bytes opened = {0};
    bool ok = !double_enter(__func__) && rsa_open(keypair, ciphertext->buffer, ciphertext->len, &opened);
    if (ok) double_fill(plaintext, allocator, opened.data, opened.length, __func__);
    else double_failed(__func__);
    bytes_wipe(&opened);
    if (double_unpin(keypair)) keypair_free(keypair);
    return ok ? OP_SUCCESS : OP_ERR;
}

EXPORT int aws_cms_cipher_decrypt(struct aws_byte_buf *ciphertext, struct aws_byte_buf *key, struct aws_byte_buf *iv,
                                  struct aws_byte_buf *plaintext)
{
    double_called(__func__);
    struct aws_allocator *allocator = double_library_allocator(__func__);
    double_expect_zeroed(plaintext, __func__);
    if (iv->len < AES_BLOCK_BYTES) double_violation(__func__, "an IV of %zu bytes is read beyond its end", iv->len);
    if (ciphertext->len > MAX_CONTENT_BYTES)
        double_violation(__func__, "%zu bytes of content lie on the C stack", ciphertext->len);
    struct bytes opened = {0};
    bool ok = !double_enter(__func__) && key->len == AES_KEY_BYTES && iv->len >= AES_BLOCK_BYTES &&
              content_open(ciphertext->buffer, ciphertext->len, key->buffer, iv->buffer, &opened);
    if (ok) double_fill(plaintext, allocator, opened.data, opened.length, __func__);
    else double_failed(__func__);
    bytes_wipe(&opened);
    return ok ? OP_SUCCESS : OP_ERR;
}
