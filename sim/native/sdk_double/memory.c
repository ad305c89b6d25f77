/* Allocators, strings, byte buffers and errors: the part of aws-c-common that the SDK's callers use. */
#include "double.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- the default allocator ---- */

/* Every block carries its size in front, so that a release can wipe it without being told. */
struct header {
    size_t size;
    size_t padding; /* keeps blocks aligned to 16 bytes */
};

/* Released blocks lie in quarantine for a while, poisoned: a stale pointer then reads rubbish and never the
   bytes of a new object, and a write through one is noticed. */
#define QUARANTINE_BLOCKS 256
#define QUARANTINE_MAX_SIZE ((size_t)64 << 10)
#define POISON 0xDB

static pthread_mutex_t quarantine_lock = PTHREAD_MUTEX_INITIALIZER;
static struct header *quarantine[QUARANTINE_BLOCKS];
static size_t quarantine_next;

static bool all_bytes_are(const void *memory, size_t size, uint8_t value)
{
    const uint8_t *bytes = memory;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != value) return false;
    return true;
}

static void *default_acquire(struct aws_allocator *allocator, size_t size)
{
    (void)allocator;
    struct header *header = malloc(sizeof *header + size);
    if (!header) abort();
    header->size = size;
    return header + 1;
}

static void default_release(struct aws_allocator *allocator, void *address)
{
    (void)allocator;
    if (!address) return;
    struct header *header = (struct header *)address - 1;
    explicit_bzero(address, header->size);
    memset(address, POISON, header->size);
    if (header->size <= QUARANTINE_MAX_SIZE) {
        pthread_mutex_lock(&quarantine_lock);
        struct header *oldest = quarantine[quarantine_next];
        quarantine[quarantine_next] = header;
        quarantine_next = (quarantine_next + 1) % QUARANTINE_BLOCKS;
        pthread_mutex_unlock(&quarantine_lock);
        header = oldest;
    }
    if (header && !all_bytes_are(header + 1, header->size, POISON))
        double_violation("aws_mem_release", "memory was written to after its release");
    free(header);
}

static void *default_calloc(struct aws_allocator *allocator, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) abort();
    return memset(default_acquire(allocator, total), 0, total);
}

static void *default_realloc(struct aws_allocator *allocator, void *address, size_t old_size, size_t new_size)
{
    if (new_size <= old_size) return address;
    void *moved = default_calloc(allocator, 1, new_size);
    if (address) memcpy(moved, address, old_size);
    default_release(allocator, address);
    return moved;
}

static struct aws_allocator default_allocator = {
    .mem_acquire = default_acquire,
    .mem_release = default_release,
    .mem_realloc = default_realloc,
    .mem_calloc = default_calloc,
};

struct aws_allocator *double_default_allocator(void)
{
    return &default_allocator;
}

EXPORT struct aws_allocator *aws_default_allocator(void)
{
    return &default_allocator;
}

void *double_allocate(struct aws_allocator *allocator, size_t size)
{
    return memset(allocator->mem_acquire(allocator, size), 0, size);
}

void double_free(struct aws_allocator *allocator, void *address)
{
    if (address) allocator->mem_release(allocator, address);
}

/* ---- the tracer: counts what passes through it ---- */

enum trace_level { TRACE_NONE, TRACE_BYTES, TRACE_STACKS };

struct tracer {
    struct aws_allocator allocator; /* first: its address is the tracer's */
    struct aws_allocator *traced;
    int level;
    atomic_size_t bytes, count;
};

static struct tracer *tracer_of(struct aws_allocator *allocator)
{
    return allocator->impl;
}

static void *tracer_acquire(struct aws_allocator *allocator, size_t size)
{
    struct tracer *tracer = tracer_of(allocator);
    struct header *header = tracer->traced->mem_acquire(tracer->traced, sizeof *header + size);
    header->size = size;
    atomic_fetch_add(&tracer->bytes, size);
    atomic_fetch_add(&tracer->count, 1);
    return header + 1;
}

static void tracer_release(struct aws_allocator *allocator, void *address)
{
    if (!address) return;
    struct tracer *tracer = tracer_of(allocator);
    struct header *header = (struct header *)address - 1;
    atomic_fetch_sub(&tracer->bytes, header->size);
    atomic_fetch_sub(&tracer->count, 1);
    tracer->traced->mem_release(tracer->traced, header);
}

static void *tracer_calloc(struct aws_allocator *allocator, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) abort();
    return memset(tracer_acquire(allocator, total), 0, total);
}

static void *tracer_realloc(struct aws_allocator *allocator, void *address, size_t old_size, size_t new_size)
{
    if (new_size <= old_size) return address;
    void *moved = tracer_calloc(allocator, 1, new_size);
    if (address) memcpy(moved, address, old_size);
    tracer_release(allocator, address);
    return moved;
}

EXPORT struct aws_allocator *aws_mem_tracer_new(struct aws_allocator *allocator, struct aws_allocator *deprecated,
                                                int level, size_t frames_per_stack)
{
    (void)deprecated, (void)frames_per_stack;
    if (double_enter(__func__)) return double_failed(__func__), NULL;
    struct tracer *tracer = double_allocate(&default_allocator, sizeof *tracer);
    tracer->allocator = (struct aws_allocator){tracer_acquire, tracer_release, tracer_realloc, tracer_calloc, tracer};
    tracer->traced = allocator;
    tracer->level = level;
    double_acquired(KIND_TRACER, tracer, sizeof *tracer, __func__);
    return &tracer->allocator;
}

EXPORT struct aws_allocator *aws_mem_tracer_destroy(struct aws_allocator *trace_allocator)
{
    size_t size;
    if (double_released(KIND_TRACER, trace_allocator, __func__, &size) != RELEASE_NOW) return NULL;
    struct tracer *tracer = tracer_of(trace_allocator);
    struct aws_allocator *traced = tracer->traced;
    if (tracer->count) double_violation(__func__, "%zu allocations outlive their tracer", tracer->count);
    double_free(&default_allocator, tracer);
    return traced;
}

EXPORT size_t aws_mem_tracer_bytes(struct aws_allocator *trace_allocator)
{
    struct tracer *tracer = tracer_of(trace_allocator);
    return tracer->level == TRACE_NONE ? 0 : tracer->bytes;
}

EXPORT size_t aws_mem_tracer_count(struct aws_allocator *trace_allocator)
{
    struct tracer *tracer = tracer_of(trace_allocator);
    return tracer->level == TRACE_NONE ? 0 : tracer->count;
}

/* ---- release, and what must be true of the memory then ---- */

static void check_wiped(const void *memory, size_t size, const char *function)
{
    if (!all_bytes_are(memory, size, 0)) double_violation(function, "memory is not zero after a secure clean-up");
}

static void check_secret(const void *memory, size_t size, const char *function)
{
    if (double_holds_canary(memory, size)) double_violation(function, "releases a secret that was not wiped");
}

/* ---- memory ---- */

EXPORT void *aws_mem_calloc(struct aws_allocator *allocator, size_t num, size_t size)
{
    if (!allocator || !num || !size) double_abort(__func__, "no allocator, or nothing to allocate");
    if (double_enter(__func__)) return double_failed(__func__), NULL;
    void *memory = allocator->mem_calloc(allocator, num, size);
    double_acquired(KIND_MEMORY, memory, num * size, __func__);
    return memory;
}

EXPORT void aws_mem_release(struct aws_allocator *allocator, void *ptr)
{
    if (!allocator) double_abort(__func__, "no allocator");
    size_t size;
    if (!ptr || double_released(KIND_MEMORY, ptr, __func__, &size) != RELEASE_NOW) return;
    check_secret(ptr, size, __func__);
    double_free(allocator, ptr);
}

/* ---- strings ---- */

EXPORT struct aws_string *aws_string_new_from_array(struct aws_allocator *allocator, const uint8_t *bytes, size_t len)
{
    if (!allocator) double_abort(__func__, "no allocator");
    if (double_enter(__func__)) return double_failed(__func__), NULL;
    size_t size = sizeof(struct aws_string) + len + 1;
    struct aws_string *string = double_allocate(allocator, size);
    string->allocator = allocator;
    string->len = len;
    if (len) memcpy(string->bytes, bytes, len);
    double_acquired(KIND_STRING, string, size, __func__);
    return string;
}

EXPORT void aws_string_destroy(struct aws_string *str)
{
    size_t size;
    if (!str || double_released(KIND_STRING, str, __func__, &size) != RELEASE_NOW) return;
    check_secret(str, size, __func__);
    double_free(str->allocator, str);
}

EXPORT void aws_string_destroy_secure(struct aws_string *str)
{
    size_t size;
    if (!str || double_released(KIND_STRING, str, __func__, &size) != RELEASE_NOW) return;
    explicit_bzero(str->bytes, str->len);
    check_wiped(str->bytes, size - sizeof *str, __func__);
    double_free(str->allocator, str);
}

/* ---- byte buffers ---- */

void double_expect_zeroed(const struct aws_byte_buf *out, const char *function)
{
    if (!all_bytes_are(out, sizeof *out, 0)) double_violation(function, "the output buffer is not a zeroed struct");
}

void double_fill(struct aws_byte_buf *out, struct aws_allocator *allocator, const uint8_t *from, size_t length,
                 const char *function)
{
    *out = (struct aws_byte_buf){.len = length, .capacity = length, .allocator = allocator};
    if (length == 0) return;
    out->buffer = double_allocate(allocator, length);
    memcpy(out->buffer, from, length);
    double_filled(out->buffer, length, function);
}

EXPORT int aws_byte_buf_init(struct aws_byte_buf *buf, struct aws_allocator *allocator, size_t capacity)
{
    if (!buf || !allocator) double_abort(__func__, "no buffer or no allocator");
    if (double_enter(__func__)) {
        memset(buf, 0, sizeof *buf);
        return double_failed(__func__), OP_ERR;
    }
    *buf = (struct aws_byte_buf){.capacity = capacity, .allocator = allocator};
    if (capacity == 0) return OP_SUCCESS;
    buf->buffer = double_allocate(allocator, capacity);
    double_acquired(KIND_BUFFER, buf->buffer, capacity, __func__);
    return OP_SUCCESS;
}

EXPORT bool aws_byte_buf_write(struct aws_byte_buf *buf, const uint8_t *src, size_t len)
{
    double_called(__func__);
    if (double_enter(__func__)) return double_failed(__func__), false;
    if (len == 0) return true;
    if (len > buf->capacity || buf->len > buf->capacity - len) return double_failed(__func__), false;
    memcpy(buf->buffer + buf->len, src, len);
    buf->len += len;
    return true;
}

static void release_buffer(struct aws_byte_buf *buf, const char *function, bool secure)
{
    size_t size;
    if (buf->buffer && buf->allocator && double_released(KIND_BUFFER, buf->buffer, function, &size) == RELEASE_NOW) {
        if (secure) {
            explicit_bzero(buf->buffer, buf->capacity < size ? buf->capacity : size);
            check_wiped(buf->buffer, size, function);
        } else {
            check_secret(buf->buffer, size, function);
        }
        double_free(buf->allocator, buf->buffer);
    }
    memset(buf, 0, sizeof *buf);
}

EXPORT void aws_byte_buf_clean_up(struct aws_byte_buf *buf)
{
    release_buffer(buf, __func__, false);
}

EXPORT void aws_byte_buf_clean_up_secure(struct aws_byte_buf *buf)
{
    release_buffer(buf, __func__, true);
}

/* ---- errors ---- */

_Thread_local int32_t double_last_error;

/* A few of the codes; like the real ones they have no name before library_init. */
static const struct {
    int code;
    const char *name, *text;
} errors[] = {
    {0, "AWS_ERROR_SUCCESS", "Success."},
    {1, "AWS_ERROR_OOM", "Out of memory."},
    {3, "AWS_ERROR_UNKNOWN", "Unknown error."},
    {4, "AWS_ERROR_SHORT_BUFFER", "Buffer is not large enough to hold result."},
    {34, "AWS_ERROR_INVALID_ARGUMENT", "An invalid argument was passed to a function."},
    {1029, "AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE", "TLS (SSL) negotiation failed"},
    {1047, "AWS_IO_SOCKET_CONNECTION_REFUSED", "socket connection refused."},
    {1048, "AWS_IO_SOCKET_TIMEOUT", "socket operation timed out."},
    {1051, "AWS_IO_SOCKET_CLOSED", "socket is closed."},
    {2058, "AWS_ERROR_HTTP_CONNECTION_CLOSED", "The connection has closed or is closing."},
};

static const char *error_text(int code, bool name)
{
    for (size_t i = 0; double_count(KIND_LIBRARY) && i < sizeof errors / sizeof *errors; i++)
        if (errors[i].code == code) return name ? errors[i].name : errors[i].text;
    return "Unknown Error Code";
}

EXPORT int aws_last_error(void)
{
    return double_last_error;
}

EXPORT void aws_reset_error(void)
{
    double_last_error = 0;
}

EXPORT const char *aws_error_name(int err)
{
    return error_text(err, true);
}

EXPORT const char *aws_error_str(int err)
{
    return error_text(err, false);
}

/* ---- growing buffers of our own ---- */

void bytes_append(struct bytes *bytes, const void *data, size_t length)
{
    if (bytes->length + length + 1 > bytes->capacity) {
        size_t capacity = (bytes->length + length + 1) * 2;
        uint8_t *moved = malloc(capacity);
        if (!moved) abort();
        if (bytes->length) memcpy(moved, bytes->data, bytes->length);
        if (bytes->data) explicit_bzero(bytes->data, bytes->capacity);
        free(bytes->data);
        bytes->data = moved;
        bytes->capacity = capacity;
    }
    if (length) memcpy(bytes->data + bytes->length, data, length);
    bytes->length += length;
    bytes->data[bytes->length] = 0; /* texts can be read as C strings */
}

void bytes_text(struct bytes *bytes, const char *text)
{
    bytes_append(bytes, text, strlen(text));
}

/* For short texts without secrets: they pass over the stack. */
void bytes_printf(struct bytes *bytes, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0) abort();
    bytes_append(bytes, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}

void bytes_wipe(struct bytes *bytes)
{
    if (bytes->data) explicit_bzero(bytes->data, bytes->capacity);
    free(bytes->data);
    *bytes = (struct bytes){0};
}
