/* The SDK's own KMS client: configuration, client and the blocking decrypt. */
#include "double.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- configuration ---- */

/* The public struct comes first; what follows is for noticing misuse. */
struct config {
    struct aws_nitro_enclaves_kms_client_configuration public;
    uint64_t region_id, endpoint_id;
    struct aws_socket_endpoint endpoint_copy;
};

static struct aws_string *copy_string(struct aws_allocator *allocator, const struct aws_string *from)
{
    size_t size = sizeof *from + from->len + 1;
    struct aws_string *copy = double_allocate(allocator, size);
    memcpy(copy, from, size);
    copy->allocator = allocator;
    return copy;
}

static void free_secret(struct aws_string *string)
{
    explicit_bzero(string->bytes, string->len);
    double_free(string->allocator, string);
}

/* Counted: a client may outlive its configuration. */
static struct aws_credentials *acquire_credentials(struct aws_credentials *credentials)
{
    atomic_fetch_add(&credentials->references, 1);
    return credentials;
}

static void release_credentials(struct aws_credentials *credentials)
{
    if (atomic_fetch_sub(&credentials->references, 1) > 1) return;
    free_secret(credentials->access_key_id);
    free_secret(credentials->secret_access_key);
    free_secret(credentials->session_token);
    double_free(credentials->allocator, credentials);
}

static struct aws_credentials *copy_credentials(struct aws_allocator *allocator, const struct aws_string *id,
                                                const struct aws_string *secret, const struct aws_string *token)
{
    struct aws_credentials *credentials = double_allocate(allocator, sizeof *credentials);
    credentials->allocator = allocator;
    credentials->references = 1;
    credentials->access_key_id = copy_string(allocator, id);
    credentials->secret_access_key = copy_string(allocator, secret);
    credentials->session_token = copy_string(allocator, token);
    return credentials;
}

static void config_free(struct config *config)
{
    release_credentials(config->public.credentials);
    double_free(config->public.allocator, config);
}

EXPORT struct aws_nitro_enclaves_kms_client_configuration *aws_nitro_enclaves_kms_client_config_default(
    struct aws_string *region, struct aws_socket_endpoint *endpoint, int domain, struct aws_string *access_key_id,
    struct aws_string *secret_access_key, struct aws_string *session_token)
{
    struct aws_allocator *allocator = double_library_allocator(__func__);
    if (!region || !access_key_id || !secret_access_key) double_abort(__func__, "a string is NULL");
    if (!session_token) double_abort(__func__, "the session token is NULL: the real library crashes");
    if (double_enter(__func__)) return double_failed(__func__), NULL;
    struct config *config = double_allocate(allocator, sizeof *config);
    config->public.allocator = allocator;
    config->public.region = region;
    config->public.endpoint = endpoint;
    config->public.domain = domain;
    config->public.credentials = copy_credentials(allocator, access_key_id, secret_access_key, session_token);
    config->region_id = double_identity(region);
    config->endpoint_id = double_identity(endpoint);
    if (endpoint) config->endpoint_copy = *endpoint;
    double_acquired(KIND_CONFIG, config, sizeof *config, __func__);
    return &config->public;
}

EXPORT void aws_nitro_enclaves_kms_client_config_destroy(struct aws_nitro_enclaves_kms_client_configuration *config)
{
    size_t size;
    if (!config || double_released(KIND_CONFIG, config, __func__, &size) != RELEASE_NOW) return;
    config_free((struct config *)config);
}

/* ---- client ---- */

#define RSA_BITS 2048

/* enum aws_key_spec; the other is AES_128. */
#define AWS_KS_AES_256 0

struct aws_nitro_enclaves_kms_client {
    struct aws_allocator *allocator;
    struct connection *connection;
    struct aws_rsa_keypair *keypair;
    /* the public struct ends here */
    struct aws_credentials *credentials;
    pthread_mutex_t one_request_at_a_time;
    char region[64], host_name[256];
};

/* The configuration keeps pointers: what they point at must be what it was. False when it cannot be read. */
static bool check_pointers(const struct config *config, const char *function)
{
    const struct aws_socket_endpoint *endpoint = config->public.endpoint;
    bool region_ok = double_identity(config->public.region) == config->region_id;
    bool endpoint_ok = double_identity(endpoint) == config->endpoint_id;
    if (!region_ok) double_violation(function, "the region was released before the client existed");
    if (!endpoint_ok) double_violation(function, "the endpoint was released before the client existed");
    if (endpoint && endpoint_ok && memcmp(endpoint, &config->endpoint_copy, sizeof *endpoint) != 0)
        double_violation(function, "the endpoint changed or moved before the client existed");
    return region_ok && endpoint_ok;
}

static void set_names(struct aws_nitro_enclaves_kms_client *client, const struct config *config)
{
    const struct aws_string *region = config->public.region, *host_name = config->public.host_name;
    snprintf(client->region, sizeof client->region, "%.*s", (int)region->len, region->bytes);
    size_t size = sizeof client->host_name;
    if (host_name) snprintf(client->host_name, size, "%.*s", (int)host_name->len, host_name->bytes);
    else snprintf(client->host_name, size, "kms.%s.amazonaws.com", client->region);
}

static bool connect_client(struct aws_nitro_enclaves_kms_client *client, const struct config *config)
{
    client->connection = connection_open(config->public.endpoint, config->public.domain, client->host_name);
    fprintf(stderr, client->connection ? "Connected.\n" : "Connection failed with error (sdk double)\n");
    return client->connection != NULL;
}

static void client_free(struct aws_nitro_enclaves_kms_client *client)
{
    if (client->keypair) keypair_free(client->keypair);
    if (client->connection) {
        connection_close(client->connection);
        fprintf(stderr, "Disconnected.\n");
    }
    release_credentials(client->credentials);
    pthread_mutex_destroy(&client->one_request_at_a_time);
    double_free(client->allocator, client);
}

static struct aws_nitro_enclaves_kms_client *client_new(struct config *config)
{
    struct aws_nitro_enclaves_kms_client *client = double_allocate(config->public.allocator, sizeof *client);
    client->allocator = config->public.allocator;
    client->credentials = acquire_credentials(config->public.credentials);
    pthread_mutex_init(&client->one_request_at_a_time, NULL);
    set_names(client, config);
    if (connect_client(client, config) && (client->keypair = keypair_new(client->allocator, RSA_BITS))) return client;
    client_free(client);
    return NULL;
}

EXPORT struct aws_nitro_enclaves_kms_client *aws_nitro_enclaves_kms_client_new(
    struct aws_nitro_enclaves_kms_client_configuration *configuration)
{
    struct config *config = (struct config *)configuration;
    double_called(__func__);
    if (!double_pin(KIND_CONFIG, config, __func__)) return double_failed(__func__), NULL;
    bool ok = check_pointers(config, __func__) && !double_enter(__func__);
    struct aws_nitro_enclaves_kms_client *client = ok ? client_new(config) : NULL;
    if (client && double_count(KIND_CLIENT)) double_violation(__func__, "two clients live at once");
    if (client) double_acquired(KIND_CLIENT, client, sizeof *client, __func__);
    else double_failed(__func__);
    if (double_unpin(config)) config_free(config);
    return client;
}

EXPORT void aws_nitro_enclaves_kms_client_destroy(struct aws_nitro_enclaves_kms_client *client)
{
    size_t size;
    if (!client) return;
    double_enter(__func__);
    if (double_released(KIND_CLIENT, client, __func__, &size) == RELEASE_NOW) client_free(client);
}

/* ---- requests ---- */

/* False, and a line on stderr, when the envelope does not open. */
static bool open_envelope(const struct aws_rsa_keypair *keypair, const struct bytes *envelope,
                          struct bytes *plaintext)
{
    struct slice wrapped_key, iv;
    struct bytes content = {0}, key = {0};
    bool parsed = envelope_parse(envelope, &wrapped_key, &iv, &content) && iv.length == 16;
    bool unwrapped = parsed && rsa_open(keypair, wrapped_key.data, wrapped_key.length, &key);
    bool opened = unwrapped && key.length == 32 &&
                  content_open(content.data, content.length, key.data, iv.data, plaintext);
    if (!parsed) fprintf(stderr, "Cannot parse CMS enveloped data.\n");
    else if (unwrapped && !opened) fprintf(stderr, "Cannot decrypt CMS encrypted content\n");
    bytes_wipe(&key);
    bytes_wipe(&content);
    return opened;
}

static bool is_encryption_algorithm(const struct aws_string *name)
{
    static const char *const names[] = {"SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"};
    for (size_t i = 0; name && i < sizeof names / sizeof *names; i++)
        if (name->len == strlen(names[i]) && memcmp(name->bytes, names[i], name->len) == 0) return true;
    fprintf(stderr, "Invalid encryption algorithm\n");
    return false;
}

/* One request and its answer. */
struct exchange {
    const char *operation;
    bool needs_key_id;
    struct bytes json;
    struct answer answer;
};

static void wipe_exchange(struct exchange *exchange)
{
    bytes_wipe(&exchange->json);
    bytes_wipe(&exchange->answer.envelope);
    bytes_wipe(&exchange->answer.ciphertext);
}

static bool ask_kms(struct aws_nitro_enclaves_kms_client *client, struct exchange *exchange)
{
    struct bytes body = {0};
    pthread_mutex_lock(&client->one_request_at_a_time);
    int status = connection_post(client->connection, client->host_name, client->region, exchange->operation,
                                 client->credentials, &exchange->json, &body);
    pthread_mutex_unlock(&client->one_request_at_a_time);
    bool ok = status == 200 && answer_parse(&body, exchange->needs_key_id, &exchange->answer);
    if (status != 200) fprintf(stderr, "Got non-200 answer from KMS: %d\n", status);
    if (!ok) fprintf(stderr, "Could not read response from KMS\n");
    bytes_wipe(&body);
    return ok;
}

/* ---- decrypt ---- */

static bool decrypt_json(struct aws_nitro_enclaves_kms_client *client, const struct decrypt_request *request,
                         struct bytes *json)
{
    if (request->key_id && !is_encryption_algorithm(request->encryption_algorithm)) return false;
    struct bytes document = {0};
    bool ok = request->ciphertext->buffer && attestation_document(client->keypair, &document) &&
              decrypt_request_json(request, &document, json);
    bytes_wipe(&document);
    return ok;
}

static int decrypt(struct aws_nitro_enclaves_kms_client *client, const struct decrypt_request *request,
                   struct aws_byte_buf *plaintext, const char *function)
{
    double_called(function);
    double_expect_zeroed(plaintext, function);
    if (!double_pin(KIND_CLIENT, client, function)) return double_failed(function), OP_ERR;
    struct exchange exchange = {.operation = "Decrypt", .needs_key_id = true};
    struct bytes opened = {0};
    bool ok = !double_enter(function) && decrypt_json(client, request, &exchange.json) && ask_kms(client, &exchange) &&
              open_envelope(client->keypair, &exchange.answer.envelope, &opened);
    if (ok) double_fill(plaintext, client->allocator, opened.data, opened.length, function);
    else double_failed(function);
    bytes_wipe(&opened);
    wipe_exchange(&exchange);
    if (double_unpin(client)) client_free(client);
    return ok ? OP_SUCCESS : OP_ERR;
}

EXPORT int aws_kms_decrypt_blocking(struct aws_nitro_enclaves_kms_client *client, const struct aws_string *key_id,
                                    const struct aws_string *encryption_algorithm,
                                    const struct aws_byte_buf *ciphertext, struct aws_byte_buf *plaintext)
{
    struct decrypt_request request = {key_id, encryption_algorithm, NULL, ciphertext};
    return decrypt(client, &request, plaintext, __func__);
}

EXPORT int aws_kms_decrypt_blocking_with_context(
    struct aws_nitro_enclaves_kms_client *client, const struct aws_string *key_id,
    const struct aws_string *encryption_algorithm, const struct aws_byte_buf *ciphertext,
    const struct aws_string *encryption_context, struct aws_byte_buf *plaintext)
{
    struct decrypt_request request = {key_id, encryption_algorithm, encryption_context, ciphertext};
    return decrypt(client, &request, plaintext, __func__);
}

/* ---- data keys and random bytes ---- */

EXPORT int aws_kms_generate_data_key_blocking(struct aws_nitro_enclaves_kms_client *client,
                                              const struct aws_string *key_id, int key_spec,
                                              struct aws_byte_buf *plaintext, struct aws_byte_buf *ciphertext_blob)
{
    double_called(__func__);
    double_expect_zeroed(plaintext, __func__);
    double_expect_zeroed(ciphertext_blob, __func__);
    if (!double_pin(KIND_CLIENT, client, __func__)) return double_failed(__func__), OP_ERR;
    struct exchange exchange = {.operation = "GenerateDataKey", .needs_key_id = true};
    struct bytes document = {0}, opened = {0};
    bool ok = !double_enter(__func__) && attestation_document(client->keypair, &document);
    if (ok) data_key_request_json(key_id, key_spec == AWS_KS_AES_256, &document, &exchange.json);
    ok = ok && ask_kms(client, &exchange) && exchange.answer.ciphertext.data &&
         open_envelope(client->keypair, &exchange.answer.envelope, &opened);
    if (ok) {
        const struct bytes *ciphertext = &exchange.answer.ciphertext;
        double_fill(plaintext, client->allocator, opened.data, opened.length, __func__);
        double_fill(ciphertext_blob, client->allocator, ciphertext->data, ciphertext->length, __func__);
    } else double_failed(__func__);
    bytes_wipe(&document);
    bytes_wipe(&opened);
    wipe_exchange(&exchange);
    if (double_unpin(client)) client_free(client);
    return ok ? OP_SUCCESS : OP_ERR;
}

EXPORT int aws_kms_generate_random_blocking(struct aws_nitro_enclaves_kms_client *client, uint32_t number_of_bytes,
                                            struct aws_byte_buf *plaintext)
{
    double_called(__func__);
    double_expect_zeroed(plaintext, __func__);
    if (!double_pin(KIND_CLIENT, client, __func__)) return double_failed(__func__), OP_ERR;
    struct exchange exchange = {.operation = "GenerateRandom", .needs_key_id = false};
    struct bytes document = {0}, opened = {0};
    bool ok = !double_enter(__func__) && attestation_document(client->keypair, &document);
    if (ok) random_request_json(number_of_bytes, &document, &exchange.json);
    ok = ok && ask_kms(client, &exchange) && open_envelope(client->keypair, &exchange.answer.envelope, &opened);
    if (ok) double_fill(plaintext, client->allocator, opened.data, opened.length, __func__);
    else double_failed(__func__);
    bytes_wipe(&document);
    bytes_wipe(&opened);
    wipe_exchange(&exchange);
    if (double_unpin(client)) client_free(client);
    return ok ? OP_SUCCESS : OP_ERR;
}

/* ---- encrypt ---- */

EXPORT int aws_kms_encrypt_blocking_with_context(struct aws_nitro_enclaves_kms_client *client,
                                                 const struct aws_string *key_id,
                                                 const struct aws_byte_buf *plaintext,
                                                 const struct aws_string *encryption_context,
                                                 struct aws_byte_buf *ciphertext_blob)
{
    double_called(__func__);
    double_expect_zeroed(ciphertext_blob, __func__);
    if (!double_pin(KIND_CLIENT, client, __func__)) return double_failed(__func__), OP_ERR;
    struct exchange exchange = {.operation = "Encrypt", .needs_key_id = true};
    bool ok = !double_enter(__func__) && encrypt_request_json(key_id, plaintext, encryption_context, &exchange.json) &&
              ask_kms(client, &exchange) && exchange.answer.ciphertext.data;
    const struct bytes *ciphertext = &exchange.answer.ciphertext;
    if (ok) double_fill(ciphertext_blob, client->allocator, ciphertext->data, ciphertext->length, __func__);
    else double_failed(__func__);
    wipe_exchange(&exchange);
    if (double_unpin(client)) client_free(client);
    return ok ? OP_SUCCESS : OP_ERR;
}
