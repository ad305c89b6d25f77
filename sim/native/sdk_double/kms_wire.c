/* One TLS connection to KMS, and signed HTTP requests over it. */
#include "double.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <linux/vm_sockets.h> /* after sys/socket.h */

#define CONNECT_TIMEOUT_S 3
#define HANDSHAKE_TIMEOUT_S 10
#define HTTPS_PORT 443
#define USER_AGENT "aws-nitro_enclaves-sdk-c/v0.4.2"

/* aws-c-io's socket domains */
enum domain { DOMAIN_IPV4, DOMAIN_IPV6, DOMAIN_LOCAL, DOMAIN_VSOCK };

/* Values of OpenSSL 3's headers. */
#define SSL_VERIFY_PEER 1
#define SSL_CTRL_SET_TLSEXT_HOSTNAME 55
#define SSL_CTRL_SET_MIN_PROTO_VERSION 123
#define SSL_ERROR_WANT_READ 2
#define SSL_ERROR_WANT_WRITE 3
#define TLS1_2_VERSION 0x0303

#define SSL_FUNCTIONS(X)                                                          \
    X(const void *, TLS_client_method, (void))                                    \
    X(void *, SSL_CTX_new, (const void *))                                        \
    X(void, SSL_CTX_free, (void *))                                               \
    X(long, SSL_CTX_ctrl, (void *, int, long, void *))                            \
    X(void, SSL_CTX_set_verify, (void *, int, void *))                            \
    X(int, SSL_CTX_set_default_verify_paths, (void *))                            \
    X(int, SSL_CTX_load_verify_locations, (void *, const char *, const char *))   \
    X(int, SSL_CTX_set_alpn_protos, (void *, const uint8_t *, unsigned))          \
    X(void *, SSL_new, (void *))                                                  \
    X(void, SSL_free, (void *))                                                   \
    X(int, SSL_set_fd, (void *, int))                                             \
    X(int, SSL_set1_host, (void *, const char *))                                 \
    X(long, SSL_ctrl, (void *, int, long, void *))                                \
    X(int, SSL_connect, (void *))                                                 \
    X(int, SSL_read, (void *, void *, int))                                       \
    X(int, SSL_write, (void *, const void *, int))                                \
    X(int, SSL_shutdown, (void *))                                                \
    X(int, SSL_get_error, (const void *, int))

struct ssl {
#define X(result, name, parameters) result(*name) parameters;
    SSL_FUNCTIONS(X)
#undef X
};

static union {
    struct ssl functions;
    void *pointers[sizeof(struct ssl) / sizeof(void *)];
} loaded;
static bool is_loaded;

static void load(void)
{
#define X(result, name, parameters) #name,
    static const char *const names[] = {SSL_FUNCTIONS(X)};
#undef X
    is_loaded = crypto() && crypto_load("libssl.so.3", names, sizeof names / sizeof *names, loaded.pointers);
}

static const struct ssl *ssl(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    return is_loaded ? &loaded.functions : NULL;
}

struct connection {
    int fd;
    void *context, *session;
};

/* ---- sockets ---- */

static void set_timeout(int fd, int option, time_t seconds)
{
    struct timeval timeout = {.tv_sec = seconds};
    setsockopt(fd, SOL_SOCKET, option, &timeout, sizeof timeout);
}

static int connect_address(int family, const void *address, socklen_t length)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    set_timeout(fd, SO_SNDTIMEO, CONNECT_TIMEOUT_S);
    if (connect(fd, address, length) == 0) return fd;
    close(fd);
    return -1;
}

static int connect_ip(const char *host, uint32_t port, int family)
{
    char service[16];
    snprintf(service, sizeof service, "%u", port & 0xFFFF);
    struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM}, *found = NULL;
    if (getaddrinfo(host, service, &hints, &found) != 0) return -1;
    int fd = -1;
    for (struct addrinfo *at = found; at && fd < 0; at = at->ai_next)
        fd = connect_address(at->ai_family, at->ai_addr, at->ai_addrlen);
    freeaddrinfo(found);
    return fd;
}

static int connect_local(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return connect_address(AF_UNIX, &address, sizeof address);
}

static int connect_vsock(const char *cid, uint32_t port)
{
    char *end;
    struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_port = port};
    address.svm_cid = (unsigned)strtoul(cid, &end, 10);
    return *cid && !*end ? connect_address(AF_VSOCK, &address, sizeof address) : -1;
}

static int connect_endpoint(const struct aws_socket_endpoint *endpoint, int domain, const char *host_name)
{
    if (!endpoint) return connect_ip(host_name, HTTPS_PORT, AF_INET);
    char address[sizeof endpoint->address + 1] = "";
    memcpy(address, endpoint->address, sizeof endpoint->address);
    switch (domain) {
    case DOMAIN_IPV4: return connect_ip(address, endpoint->port, AF_INET);
    case DOMAIN_IPV6: return connect_ip(address, endpoint->port, AF_INET6);
    case DOMAIN_LOCAL: return connect_local(address);
    case DOMAIN_VSOCK: return connect_vsock(address, endpoint->port);
    default: return -1;
    }
}

/* ---- TLS ---- */

/* libssl writes without MSG_NOSIGNAL, and the host process may not ignore SIGPIPE. */
static void block_sigpipe(sigset_t *old)
{
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, old);
}

static void restore_sigpipe(const sigset_t *old)
{
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    if (!sigismember(old, SIGPIPE)) sigtimedwait(&pipe, NULL, &(struct timespec){0});
    pthread_sigmask(SIG_SETMASK, old, NULL);
}

static void *new_context(const struct ssl *s)
{
    static const uint8_t http_1_1[] = "\x08http/1.1";
    void *context = s->SSL_CTX_new(s->TLS_client_method());
    if (!context) return NULL;
    const char *file = getenv("SSL_CERT_FILE");
    s->SSL_CTX_ctrl(context, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, NULL);
    s->SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    s->SSL_CTX_set_alpn_protos(context, http_1_1, sizeof http_1_1 - 1);
    bool ok = file && *file ? s->SSL_CTX_load_verify_locations(context, file, NULL) == 1
                            : s->SSL_CTX_set_default_verify_paths(context) == 1;
    if (ok) return context;
    s->SSL_CTX_free(context);
    return NULL;
}

static bool is_retry(const struct connection *connection, int result)
{
    int error = ssl()->SSL_get_error(connection->session, result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

static bool handshake(struct connection *connection, const char *host_name)
{
    const struct ssl *s = ssl();
    set_timeout(connection->fd, SO_RCVTIMEO, HANDSHAKE_TIMEOUT_S);
    bool ok = s->SSL_set_fd(connection->session, connection->fd) == 1 &&
              s->SSL_ctrl(connection->session, SSL_CTRL_SET_TLSEXT_HOSTNAME, 0, (void *)host_name) == 1 &&
              s->SSL_set1_host(connection->session, host_name) == 1;
    sigset_t old;
    block_sigpipe(&old);
    int result = 0;
    while (ok && (result = s->SSL_connect(connection->session)) != 1 && errno == EINTR &&
           is_retry(connection, result)) {}
    restore_sigpipe(&old);
    /* From here on nothing times out: a server that hangs, hangs the caller. */
    set_timeout(connection->fd, SO_RCVTIMEO, 0);
    set_timeout(connection->fd, SO_SNDTIMEO, 0);
    return ok && result == 1;
}

struct connection *connection_open(const struct aws_socket_endpoint *endpoint, int domain, const char *host_name)
{
    const struct ssl *s = ssl();
    int fd = s ? connect_endpoint(endpoint, domain, host_name) : -1;
    if (fd < 0) return NULL;
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection) abort();
    connection->fd = fd;
    connection->context = new_context(s);
    connection->session = connection->context ? s->SSL_new(connection->context) : NULL;
    if (connection->session && handshake(connection, host_name)) return connection;
    crypto()->ERR_clear_error();
    connection_close(connection);
    return NULL;
}

void connection_close(struct connection *connection)
{
    const struct ssl *s = ssl();
    sigset_t old;
    block_sigpipe(&old);
    if (connection->session) s->SSL_shutdown(connection->session);
    restore_sigpipe(&old);
    s->SSL_free(connection->session);
    s->SSL_CTX_free(connection->context);
    crypto()->ERR_clear_error();
    close(connection->fd);
    free(connection);
}

static bool send_all(struct connection *connection, const struct bytes *data)
{
    sigset_t old;
    block_sigpipe(&old);
    int sent;
    do sent = ssl()->SSL_write(connection->session, data->data, (int)data->length);
    while (sent <= 0 && is_retry(connection, sent));
    restore_sigpipe(&old);
    return sent > 0;
}

/* Appends what has come; false at the end of the connection. */
static bool receive_some(struct connection *connection, struct bytes *in)
{
    uint8_t chunk[4096];
    int received;
    do received = ssl()->SSL_read(connection->session, chunk, sizeof chunk);
    while (received <= 0 && is_retry(connection, received));
    if (received > 0) bytes_append(in, chunk, (size_t)received);
    explicit_bzero(chunk, sizeof chunk);
    return received > 0;
}

/* ---- SigV4 ---- */

#define SHA256_BYTES 32
#define HEX_BYTES (2 * SHA256_BYTES)
#define SIGNED_HEADERS "content-length;content-type;host;x-amz-content-sha256;x-amz-date;"
#define CONTENT_TYPE "application/x-amz-json-1.1"

static void to_hex(const uint8_t digest[SHA256_BYTES], char hex[HEX_BYTES + 1])
{
    for (size_t i = 0; i < SHA256_BYTES; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

static void sha256_hex(const struct bytes *data, char hex[HEX_BYTES + 1])
{
    const struct crypto *c = crypto();
    uint8_t digest[SHA256_BYTES];
    c->EVP_Digest(data->data, data->length, digest, NULL, c->EVP_sha256(), NULL);
    to_hex(digest, hex);
}

static void hmac(uint8_t out[SHA256_BYTES], const void *key, size_t key_length, const void *data, size_t length)
{
    const struct crypto *c = crypto();
    unsigned size;
    c->HMAC(c->EVP_sha256(), key, (int)key_length, data, length, out, &size);
}

/* The values that signature and request share. */
struct signing {
    const char *host_name, *region, *operation;
    const struct aws_credentials *credentials;
    char body_hash[HEX_BYTES + 1], date[9], time[17];
    size_t body_length;
};

static bool has_token(const struct signing *signing)
{
    return signing->credentials->session_token->len > 0;
}

static void put_string(struct bytes *out, const struct aws_string *string)
{
    bytes_append(out, string->bytes, string->len);
}

static void put_signed_headers(struct bytes *out, const struct signing *signing)
{
    bytes_text(out, SIGNED_HEADERS);
    if (has_token(signing)) bytes_text(out, "x-amz-security-token;");
    bytes_text(out, "x-amz-target");
}

static void put_canonical_request(struct bytes *out, const struct signing *signing)
{
    bytes_text(out, "POST\n/\n\n");
    bytes_printf(out, "content-length:%zu\ncontent-type:" CONTENT_TYPE "\n", signing->body_length);
    bytes_printf(out, "host:%s\nx-amz-content-sha256:%s\n", signing->host_name, signing->body_hash);
    bytes_printf(out, "x-amz-date:%s\n", signing->time);
    if (has_token(signing)) {
        bytes_text(out, "x-amz-security-token:");
        put_string(out, signing->credentials->session_token);
        bytes_text(out, "\n");
    }
    bytes_printf(out, "x-amz-target:TrentService.%s\n\n", signing->operation);
    put_signed_headers(out, signing);
    bytes_printf(out, "\n%s", signing->body_hash);
}

static void sign(const struct signing *signing, const struct bytes *to_sign, char signature[HEX_BYTES + 1])
{
    struct bytes secret = {0};
    bytes_text(&secret, "AWS4");
    put_string(&secret, signing->credentials->secret_access_key);
    uint8_t key[SHA256_BYTES];
    hmac(key, secret.data, secret.length, signing->date, strlen(signing->date));
    hmac(key, key, sizeof key, signing->region, strlen(signing->region));
    hmac(key, key, sizeof key, "kms", 3);
    hmac(key, key, sizeof key, "aws4_request", 12);
    hmac(key, key, sizeof key, to_sign->data, to_sign->length);
    to_hex(key, signature);
    explicit_bzero(key, sizeof key);
    bytes_wipe(&secret);
}

static void put_authorization(struct bytes *out, const struct signing *signing)
{
    char canonical_hash[HEX_BYTES + 1], signature[HEX_BYTES + 1], scope[320];
    struct bytes canonical = {0}, to_sign = {0};
    put_canonical_request(&canonical, signing);
    sha256_hex(&canonical, canonical_hash);
    bytes_wipe(&canonical);
    snprintf(scope, sizeof scope, "%s/%s/kms/aws4_request", signing->date, signing->region);
    bytes_printf(&to_sign, "AWS4-HMAC-SHA256\n%s\n", signing->time);
    bytes_printf(&to_sign, "%s\n%s", scope, canonical_hash);
    sign(signing, &to_sign, signature);
    bytes_wipe(&to_sign);
    bytes_text(out, "Authorization: AWS4-HMAC-SHA256 Credential=");
    put_string(out, signing->credentials->access_key_id);
    bytes_printf(out, "/%s, SignedHeaders=", scope);
    put_signed_headers(out, signing);
    bytes_printf(out, ", Signature=%s\r\n", signature);
}

/* ---- HTTP ---- */

static void put_request(struct bytes *out, const struct signing *signing, const struct bytes *body)
{
    bytes_printf(out, "POST / HTTP/1.1\r\nhost: %s\r\n", signing->host_name);
    bytes_printf(out, "content-type: " CONTENT_TYPE "\r\nx-amz-target: TrentService.%s\r\n", signing->operation);
    bytes_printf(out, "content-length: %zu\r\nuser-agent: " USER_AGENT "\r\n", body->length);
    if (has_token(signing)) {
        bytes_text(out, "X-Amz-Security-Token: ");
        put_string(out, signing->credentials->session_token);
        bytes_text(out, "\r\n");
    }
    bytes_printf(out, "X-Amz-Date: %s\r\nx-amz-content-sha256: %s\r\n", signing->time, signing->body_hash);
    put_authorization(out, signing);
    bytes_text(out, "\r\n");
    bytes_append(out, body->data, body->length);
}

/* The value of a header in a block of lines, or NULL. */
static const char *header_value(const char *head, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, length) == 0 && line[2 + length] == ':')
            return line + 3 + length + strspn(line + 3 + length, " \t");
    return NULL;
}

/* Reads until `in` holds `length` bytes. */
static bool receive_until(struct connection *connection, struct bytes *in, size_t length)
{
    while (in->length < length)
        if (!receive_some(connection, in)) return false;
    return true;
}

/* Reads a line that starts at `at`; its end (after CR LF), or 0. */
static size_t receive_line(struct connection *connection, struct bytes *in, size_t at)
{
    for (;;) {
        uint8_t *end = in->length > at ? memmem(in->data + at, in->length - at, "\r\n", 2) : NULL;
        if (end) return (size_t)(end - in->data) + 2;
        if (!receive_some(connection, in)) return 0;
    }
}

static bool receive_chunks(struct connection *connection, struct bytes *in, size_t at, struct bytes *body)
{
    for (;;) {
        size_t start = receive_line(connection, in, at);
        if (start == 0) return false;
        size_t length = strtoul((char *)in->data + at, NULL, 16);
        if (length == 0) return receive_line(connection, in, start) != 0; /* trailers are not KMS's */
        if (length > SIZE_MAX / 2 || !receive_until(connection, in, start + length + 2)) return false;
        bytes_append(body, in->data + start, length);
        at = start + length + 2;
    }
}

static bool receive_body(struct connection *connection, struct bytes *in, size_t at, struct bytes *body)
{
    /* in->data moves while we read: nothing of the head is read later */
    const char *length_text = header_value((char *)in->data, "content-length");
    const char *encoding = header_value((char *)in->data, "transfer-encoding");
    if (encoding && strncasecmp(encoding, "chunked", 7) == 0) return receive_chunks(connection, in, at, body);
    size_t length = length_text ? strtoul(length_text, NULL, 10) : SIZE_MAX / 2;
    bool complete = receive_until(connection, in, at + length);
    if (!complete && length_text) return false;
    bytes_append(body, in->data + at, complete ? length : in->length - at);
    return true;
}

static int receive_answer(struct connection *connection, struct bytes *body)
{
    struct bytes in = {0};
    int status = -1;
    uint8_t *end = NULL;
    while (!end && receive_some(connection, &in)) end = memmem(in.data, in.length, "\r\n\r\n", 4);
    if (end) {
        end[2] = 0; /* header_value() stops at the end of the head */
        bool ok = sscanf((char *)in.data, "HTTP/1.1 %3d", &status) == 1 &&
                  receive_body(connection, &in, (size_t)(end - in.data) + 4, body);
        if (!ok) status = -1;
    }
    bytes_wipe(&in);
    return status;
}

int connection_post(struct connection *connection, const char *host_name, const char *region, const char *operation,
                    const struct aws_credentials *credentials, const struct bytes *body, struct bytes *answer)
{
    struct signing signing = {host_name, region, operation, credentials, .body_length = body->length};
    struct tm now;
    gmtime_r(&(time_t){time(NULL)}, &now);
    strftime(signing.date, sizeof signing.date, "%Y%m%d", &now);
    strftime(signing.time, sizeof signing.time, "%Y%m%dT%H%M%SZ", &now);
    sha256_hex(body, signing.body_hash);
    struct bytes request = {0};
    put_request(&request, &signing, body);
    bool sent = send_all(connection, &request);
    bytes_wipe(&request);
    int status = sent ? receive_answer(connection, answer) : -1;
    if (status < 0) fprintf(stderr, "failed  to process request");
    crypto()->ERR_clear_error();
    return status;
}
