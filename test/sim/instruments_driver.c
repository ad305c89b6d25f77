/*
 * What the tests of sim/instruments.ts run: it uses /dev/nsm and either SDK library as any program would.
 *
 *   driver nsm <request, hex> <response size>    one ioctl; prints "ok <length> <hex>" or the errno
 *   driver silent                                one ioctl that nobody answers, beside many opens
 *   driver abi <library>                         layouts and small functions
 *   driver open <library>                        attestation, then opening; secrets come masked on stdin
 *   driver kms <library> <port> <context>        the blocking client; secrets come masked on stdin
 *   driver journal|misuse|plans <double>         the double's own functions
 *
 * All but the last three wait for a line on stdin first: until then the test prepares the NSM. Exit code 0,
 * or 1 with a line on stderr.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define NSM_IOCTL 0xC0200A00UL
#define MASK 0xA5
#define CHECK(condition) \
    ((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), exit(1)))

struct buffer {
    size_t len;
    uint8_t *data;
    size_t capacity;
    void *allocator;
};

struct endpoint {
    char address[108];
    uint32_t port;
};

static void *library;

static void *symbol(const char *name)
{
    void *found = dlsym(library, name);
    if (!found) fprintf(stderr, "no symbol %s\n", name), exit(1);
    return found;
}

#define CALL(result, name, ...) ((result(*)(__VA_ARGS__))symbol(#name))

static struct buffer from_hex(const char *hex, uint8_t mask)
{
    struct buffer out = {.len = strlen(hex) / 2};
    out.data = malloc(out.len + 1);
    out.capacity = out.len;
    for (size_t i = 0; i < out.len; i++) {
        unsigned byte;
        CHECK(sscanf(hex + 2 * i, "%2x", &byte) == 1);
        out.data[i] = (uint8_t)byte ^ mask;
    }
    return out;
}

static struct buffer read_hex(uint8_t mask)
{
    static char line[65536];
    CHECK(fgets(line, sizeof line, stdin));
    line[strcspn(line, "\n")] = 0;
    return from_hex(line, mask);
}

static void print_hex(const char *name, const uint8_t *data, size_t length)
{
    printf("%s ", name);
    for (size_t i = 0; i < length; i++) printf("%02x", data[i]);
    printf("\n");
    fflush(stdout);
}

/* ---- memory scan: how often a masked needle lies, unmasked, in writable memory ---- */

static size_t count_in(const uint8_t *start, const uint8_t *end, const struct buffer *needle)
{
    size_t count = 0;
    uint8_t first = needle->data[0] ^ MASK;
    for (const uint8_t *at = start; (size_t)(end - at) >= needle->len; at++) {
        at = memchr(at, first, (size_t)(end - at));
        if (!at || (size_t)(end - at) < needle->len) break;
        size_t same = 1;
        while (same < needle->len && at[same] == (needle->data[same] ^ MASK)) same++;
        count += same == needle->len;
    }
    return count;
}

static size_t residue(const struct buffer *needle)
{
    char line[512], mode[5];
    size_t start, end, count = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && fgets(line, sizeof line, maps))
        if (sscanf(line, "%zx-%zx %4s", &start, &end, mode) == 3 && mode[0] == 'r' && mode[1] == 'w')
            count += count_in((const uint8_t *)start, (const uint8_t *)end, needle);
    if (maps) fclose(maps);
    return count;
}

/* ---- the device ---- */

static int device_call(int fd, const struct buffer *request, uint8_t *response, uint64_t *length)
{
    struct {
        uint64_t request, request_length, response, response_length;
    } message = {(uintptr_t)request->data, request->len, (uintptr_t)response, *length};
    int rc = ioctl(fd, NSM_IOCTL, &message);
    *length = message.response_length;
    return rc;
}

static void nsm(const char *request_hex, const char *size)
{
    struct buffer request = from_hex(request_hex, 0);
    uint64_t length = strtoul(size, NULL, 10);
    uint8_t *response = calloc(1, length + 1);
    int fd = open("/dev/nsm", O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        printf("open %s\n", strerror(errno));
        return;
    }
    CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
    if (device_call(fd, &request, response, &length) != 0) {
        printf("ioctl %s\n", strerror(errno));
        return;
    }
    char name[32];
    snprintf(name, sizeof name, "ok %zu", (size_t)length);
    print_hex(name, response, length);
}

static void *call_silent_device(void *unused)
{
    struct buffer request = from_hex("6b", 0);
    uint8_t response[64];
    uint64_t length = sizeof response;
    device_call(open("/dev/nsm", O_RDWR), &request, response, &length);
    return unused;
}

static void silent(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, call_silent_device, NULL) == 0);
    usleep(50000);
    for (int i = 0; i < 1000; i++) {
        int fd = open("/proc/self/status", O_RDONLY);
        CHECK(fd >= 0);
        close(fd);
    }
    CHECK(ioctl(0, NSM_IOCTL, NULL) == -1); /* not our descriptor: the kernel's own answer */
    printf("opened\n");
    fflush(stdout);
    _exit(7);
}

/* ---- either library ---- */

static void *new_string(void *allocator, const void *bytes, size_t length)
{
    return CALL(void *, aws_string_new_from_array, void *, const void *, size_t)(allocator, bytes, length);
}

static void destroy_string(void *string)
{
    CALL(void, aws_string_destroy_secure, void *)(string);
}

static void clean_up(struct buffer *buffer)
{
    CALL(void, aws_byte_buf_clean_up_secure, struct buffer *)(buffer);
    CHECK(buffer->data == NULL && buffer->len == 0);
}

static void *init(void)
{
    CALL(void, aws_nitro_enclaves_library_init, void *)(NULL);
    return CALL(void *, aws_nitro_enclaves_get_allocator, void)();
}

static void uninit(void)
{
    CALL(void, aws_nitro_enclaves_library_clean_up, void)();
}

static void check_string(void *allocator)
{
    uint8_t *string = new_string(allocator, "enclave", 7);
    CHECK(*(void **)string == allocator && *(size_t *)(string + 8) == 7);
    CHECK(strcmp((char *)string + 16, "enclave") == 0);
    CALL(void, aws_string_destroy, void *)(string);
    destroy_string(new_string(allocator, NULL, 0));
}

static void check_buffer(void *allocator)
{
    struct buffer buffer;
    CHECK(CALL(int, aws_byte_buf_init, struct buffer *, void *, size_t)(&buffer, allocator, 4) == 0);
    CHECK(buffer.len == 0 && buffer.capacity == 4 && buffer.allocator == allocator && buffer.data);
    bool (*write)(struct buffer *, const void *, size_t) = symbol("aws_byte_buf_write");
    CHECK(write(&buffer, "abc", 3) && buffer.len == 3 && !write(&buffer, "de", 2) && buffer.len == 3);
    clean_up(&buffer);
    clean_up(&buffer);
}

static void check_config(void *allocator)
{
    void *strings[4];
    for (int i = 0; i < 4; i++) strings[i] = new_string(allocator, "text", 4);
    struct endpoint endpoint = {.address = "127.0.0.1", .port = 8000};
    uint8_t *config = CALL(void *, aws_nitro_enclaves_kms_client_config_default, void *, void *, int, void *, void *,
                           void *)(strings[0], &endpoint, 3, strings[1], strings[2], strings[3]);
    CHECK(*(void **)config == allocator && *(void **)(config + 8) == strings[0]);
    CHECK(*(void **)(config + 16) == &endpoint && *(int *)(config + 24) == 3);
    CHECK(*(void **)(config + 32) != NULL && *(void **)(config + 40) == NULL && *(void **)(config + 48) == NULL);
    CALL(void, aws_nitro_enclaves_kms_client_config_destroy, void *)(config);
    for (int i = 0; i < 4; i++) destroy_string(strings[i]);
}

static void check_tracer(void *allocator)
{
    void *tracer = CALL(void *, aws_mem_tracer_new, void *, void *, int, size_t)(allocator, NULL, 1, 0);
    size_t (*count)(void *) = symbol("aws_mem_tracer_count"), (*bytes)(void *) = symbol("aws_mem_tracer_bytes");
    void *string = new_string(tracer, "enclave", 7);
    void *memory = CALL(void *, aws_mem_calloc, void *, size_t, size_t)(tracer, 2, 8);
    CHECK(count(tracer) == 2 && bytes(tracer) >= 7 + 16);
    destroy_string(string);
    CALL(void, aws_mem_release, void *, void *)(tracer, memory);
    CHECK(count(tracer) == 0 && bytes(tracer) == 0);
    CHECK(CALL(void *, aws_mem_tracer_destroy, void *)(tracer) == allocator);
}

static void abi(void)
{
    const char *(*name)(int) = symbol("aws_error_name"), *(*text)(int) = symbol("aws_error_str");
    CHECK(strcmp(name(1), "Unknown Error Code") == 0);
    void *allocator = init();
    CHECK(allocator == CALL(void *, aws_default_allocator, void)());
    CHECK(strcmp(name(0), "AWS_ERROR_SUCCESS") == 0 && strcmp(text(1), "Out of memory.") == 0);
    CALL(void, aws_reset_error, void)();
    CHECK(CALL(int, aws_last_error, void)() == 0);
    check_string(allocator);
    check_buffer(allocator);
    check_config(allocator);
    check_tracer(allocator);
    symbol("aws_nitro_enclaves_kms_client_new"), symbol("aws_nitro_enclaves_kms_client_destroy");
    symbol("aws_kms_decrypt_blocking"), symbol("aws_kms_decrypt_blocking_with_context");
    uninit();
    printf("ok\n");
}

typedef int cipher_decrypt(struct buffer *ciphertext, struct buffer *key, struct buffer *iv, struct buffer *out);

static void refuse_wrong_input(cipher_decrypt *decrypt, struct buffer *ciphertext, struct buffer *key,
                               struct buffer *iv)
{
    struct buffer out = {0}, cut = *ciphertext, short_key = *key;
    cut.len -= 1;
    short_key.len = 16;
    CHECK(decrypt(&cut, key, iv, &out) == -1 && decrypt(ciphertext, &short_key, iv, &out) == -1 && out.data == NULL);
}

static void open_envelope(void)
{
    void *allocator = init();
    void *key_pair = CALL(void *, aws_attestation_rsa_keypair_new, void *, int)(allocator, 2048);
    struct buffer document = {0}, key = {0}, plaintext = {0};
    CHECK(CALL(int, aws_attestation_request, void *, void *, struct buffer *)(allocator, key_pair, &document) == 0);
    print_hex("document", document.data, document.len);
    clean_up(&document);
    struct buffer wrapped = read_hex(0), iv = read_hex(0), ciphertext = read_hex(0), masked_key = read_hex(0),
                  masked_plaintext = read_hex(0);
    int (*unwrap)(void *, void *, struct buffer *, struct buffer *) = symbol("aws_attestation_rsa_decrypt");
    cipher_decrypt *decrypt = symbol("aws_cms_cipher_decrypt");
    CHECK(unwrap(allocator, key_pair, &iv, &key) == -1 && key.data == NULL);
    CHECK(unwrap(allocator, key_pair, &wrapped, &key) == 0 && key.len == 32 && key.capacity == 32);
    refuse_wrong_input(decrypt, &ciphertext, &key, &iv);
    CHECK(decrypt(&ciphertext, &key, &iv, &plaintext) == 0 && plaintext.capacity == plaintext.len);
    print_hex("plaintext", plaintext.data, plaintext.len);
    CHECK(residue(&masked_key) > 0 && residue(&masked_plaintext) > 0); /* the scan does find what is there */
    clean_up(&plaintext);
    clean_up(&key);
    CALL(void, aws_attestation_rsa_keypair_destroy, void *)(key_pair);
    uninit();
    printf("residue %zu %zu\n", residue(&masked_key), residue(&masked_plaintext));
}

static void *new_secret_string(void *allocator, const struct buffer *masked)
{
    uint8_t *secret = malloc(masked->len);
    for (size_t i = 0; i < masked->len; i++) secret[i] = masked->data[i] ^ MASK;
    void *string = new_string(allocator, secret, masked->len);
    explicit_bzero(secret, masked->len);
    free(secret);
    return string;
}

static void print_text(const char *function)
{
    size_t (*read)(void *, size_t) = symbol(function);
    static char text[65536];
    size_t length = read(text, sizeof text);
    fwrite(text, 1, length < sizeof text ? length : sizeof text, stdout);
}

static int decrypt_with_key_id(void *client, void *allocator, struct buffer *ciphertext, struct buffer *plaintext)
{
    void *key_id = new_string(allocator, "alias/\"k\"", 9), *algorithm = new_string(allocator, "SYMMETRIC_DEFAULT", 17);
    int rc = CALL(int, aws_kms_decrypt_blocking, void *, void *, void *, void *, void *)(
        client, key_id, algorithm, ciphertext, plaintext);
    destroy_string(algorithm);
    destroy_string(key_id);
    return rc;
}

/* With the context, or with a key id when there is none. */
static int decrypt_once(void *client, void *allocator, const char *context, struct buffer *plaintext)
{
    struct buffer ciphertext = {.len = 4, .data = (uint8_t *)"blob", .capacity = 4};
    if (!*context) return decrypt_with_key_id(client, allocator, &ciphertext, plaintext);
    void *text = new_string(allocator, context, strlen(context));
    int rc = CALL(int, aws_kms_decrypt_blocking_with_context, void *, void *, void *, void *, void *, void *)(
        client, NULL, NULL, &ciphertext, text, plaintext);
    destroy_string(text);
    return rc;
}

static void kms(const char *port, const char *context)
{
    struct buffer secret = read_hex(0), token = read_hex(0), expected = read_hex(0);
    void *allocator = init();
    void *region = new_string(allocator, "us-east-1", 9), *id = new_string(allocator, "AKIDEXAMPLE", 11),
         *secret_string = new_secret_string(allocator, &secret), *token_string = new_secret_string(allocator, &token);
    struct endpoint endpoint = {.address = "127.0.0.1", .port = (uint32_t)atoi(port)};
    void *config = CALL(void *, aws_nitro_enclaves_kms_client_config_default, void *, void *, int, void *, void *,
                        void *)(region, &endpoint, 0, id, secret_string, token_string);
    void *client = CALL(void *, aws_nitro_enclaves_kms_client_new, void *)(config);
    printf("client %s\n", client ? "open" : "NULL");
    struct buffer plaintext = {0};
    int rc = client ? decrypt_once(client, allocator, context, &plaintext) : -1;
    printf("rc %d last error %d\n", rc, CALL(int, aws_last_error, void)());
    print_hex("plaintext", plaintext.data, plaintext.len);
    clean_up(&plaintext);
    CALL(void, aws_nitro_enclaves_kms_client_destroy, void *)(client);
    CALL(void, aws_nitro_enclaves_kms_client_config_destroy, void *)(config);
    destroy_string(token_string), destroy_string(secret_string), destroy_string(id), destroy_string(region);
    uninit();
    printf("residue %zu %zu %zu\n", residue(&secret), residue(&token), residue(&expected));
}

/* ---- the double's own ---- */

static void print_state(void)
{
    printf("live %zu\n", CALL(size_t, double_live, void)());
    print_text("double_log");
    print_text("double_violations");
    CALL(void, double_reset, void)();
}

static void journal(void)
{
    void *allocator = init();
    void *first = new_string(allocator, "one", 3), *second = new_string(allocator, "two", 3);
    destroy_string(first);
    print_state();
    CALL(void, aws_string_destroy, void *)(second);
    uninit();
    print_state();
}

static void *decrypt_in_thread(void *key_pair)
{
    struct buffer ciphertext = {.len = 4, .data = (uint8_t *)"junk", .capacity = 4}, out = {0};
    CALL(int, aws_attestation_rsa_decrypt, void *, void *, void *, void *)(
        CALL(void *, aws_default_allocator, void)(), key_pair, &ciphertext, &out);
    return NULL;
}

static void destroy_key_pair_in_use(void *allocator)
{
    pthread_t thread;
    void *key_pair = CALL(void *, aws_attestation_rsa_keypair_new, void *, int)(allocator, 2048);
    CALL(void, double_stall, const char *)("aws_attestation_rsa_decrypt");
    pthread_create(&thread, NULL, decrypt_in_thread, key_pair);
    while (CALL(uint32_t, double_stalled, void)() == 0) usleep(1000);
    CALL(void, aws_attestation_rsa_keypair_destroy, void *)(key_pair);
    CALL(void, double_release_stalls, void)();
    pthread_join(thread, NULL);
}

static void *clean_up_in_thread(void *unused)
{
    uninit();
    return unused;
}

static void misuse(void)
{
    void *allocator = init();
    CALL(void, double_set_canary, const void *, size_t)("canary-4711", 11);
    void *string = new_string(allocator, "x canary-4711 x", 15);
    CALL(void, aws_string_destroy, void *)(string);
    CALL(void, aws_string_destroy, void *)(string);
    CALL(void, aws_mem_release, void *, void *)(allocator, &string);
    struct buffer buffer;
    CALL(int, aws_byte_buf_init, struct buffer *, void *, size_t)(&buffer, allocator, 32);
    CALL(bool, aws_byte_buf_write, struct buffer *, const void *, size_t)(&buffer, "0123456789", 10);
    buffer.capacity = 4; /* a caller who writes into the struct makes the clean-up wipe too little */
    clean_up(&buffer);
    destroy_key_pair_in_use(allocator);
    pthread_t thread;
    pthread_create(&thread, NULL, clean_up_in_thread, NULL);
    pthread_join(thread, NULL);
    printf("live %zu\n", CALL(size_t, double_live, void)());
    print_text("double_violations");
}

static void plans(void)
{
    void *allocator = init();
    CALL(void, double_fail, const char *, uint32_t)("aws_string_new_from_array", 2);
    CALL(void, double_set_last_error, int32_t)(34);
    for (int i = 0; i < 3; i++) {
        void *string = new_string(allocator, "a", 1);
        printf("%s %d\n", string ? "string" : "NULL", CALL(int, aws_last_error, void)());
        destroy_string(string);
    }
    CALL(void, double_fail, const char *, uint32_t)("aws_attestation_rsa_keypair_new", 0);
    for (int i = 0; i < 2; i++)
        CHECK(CALL(void *, aws_attestation_rsa_keypair_new, void *, int)(allocator, 2048) == NULL);
    uninit();
    printf("live %zu\n", CALL(size_t, double_live, void)());
}

static void wait_for_go(void)
{
    char line[8];
    CHECK(fgets(line, sizeof line, stdin));
}

int main(int count, char **arguments)
{
    CHECK(count > 1);
    const char *scenario = arguments[1];
    if (strcmp(scenario, "journal") && strcmp(scenario, "misuse") && strcmp(scenario, "plans")) wait_for_go();
    if (strcmp(scenario, "nsm") == 0) return nsm(arguments[2], arguments[3]), 0;
    if (strcmp(scenario, "silent") == 0) return silent(), 0;
    CHECK(count > 2 && (library = dlopen(arguments[2], RTLD_NOW | RTLD_LOCAL)));
    if (strcmp(scenario, "abi") == 0) abi();
    else if (strcmp(scenario, "open") == 0) open_envelope();
    else if (strcmp(scenario, "kms") == 0) kms(arguments[3], arguments[4]);
    else if (strcmp(scenario, "journal") == 0) journal();
    else if (strcmp(scenario, "misuse") == 0) misuse();
    else if (strcmp(scenario, "plans") == 0) plans();
    else CHECK(!"a scenario");
    return 0;
}
