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

static void free_credentials(struct aws_credentials *credentials)
{
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
    credentials->access_key_id = copy_string(allocator, id);
    credentials->secret_access_key = copy_string(allocator, secret);
    credentials->session_token = copy_string(allocator, token);
    return credentials;
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
    free_credentials(config->credentials);
    double_free(config->allocator, config);
}

EXPORT void *aws_nitro_enclaves_kms_client_new(struct aws_nitro_enclaves_kms_client_configuration *configuration)
{
    (void)configuration;
    return NULL;
}
EXPORT void aws_nitro_enclaves_kms_client_destroy(void *client) { (void)client; }
EXPORT int aws_kms_decrypt_blocking(void *c, void *k, void *e, void *t, void *p) { (void)c, (void)k, (void)e, (void)t, (void)p; return -1; }
EXPORT int aws_kms_decrypt_blocking_with_context(void *c, void *k, void *e, void *t, void *x, void *p) { (void)c, (void)k, (void)e, (void)t, (void)x, (void)p; return -1; }
