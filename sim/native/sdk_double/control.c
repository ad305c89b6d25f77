/* The journal: who holds what, what went wrong, and what is meant to go wrong. One lock guards it all. */
#include "double.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_PLANS 64
#define MAX_NAME 64
#define MAX_CANARY 256
#define MAX_JOURNAL ((size_t)64 << 20)

/* The canary is kept masked, or a scan of this process's memory would find the copy kept here. */
#define CANARY_MASK 0xA5

struct object {
    const void *address;
    size_t size;
    uint64_t id;
    enum kind kind;
    uint32_t users;
    bool doomed;
};

struct failure {
    char function[MAX_NAME];
    uint32_t countdown; /* 0: every call */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t stalls_changed = PTHREAD_COND_INITIALIZER;

static struct {
    struct bytes journal, violations;
    struct object *objects;
    size_t object_count, object_capacity;
    uint64_t last_id;
    struct failure failures[MAX_PLANS];
    size_t failure_count;
    char stalls[MAX_PLANS][MAX_NAME];
    size_t stall_count;
    uint32_t stalled_threads;
    int32_t next_error;
    uint8_t canary[MAX_CANARY];
    size_t canary_length;
} state;

/* ---- helpers, all under the lock ---- */

static void journal(const char *verb, const char *what, uint64_t id, const char *by)
{
    if (state.journal.length > MAX_JOURNAL) return;
    bytes_printf(&state.journal, "%s %s", verb, what);
    if (id) bytes_printf(&state.journal, " #%llu", (unsigned long long)id);
    if (by) bytes_printf(&state.journal, " by %s", by);
    bytes_text(&state.journal, "\n");
}

static void violate(const char *function, const char *text)
{
    bytes_printf(&state.violations, "%s: %s\n", function, text);
}

static struct object *find(const void *address)
{
    for (size_t i = state.object_count; i-- > 0;)
        if (state.objects[i].address == address && !state.objects[i].doomed) return &state.objects[i];
    return NULL;
}

static struct object *find_doomed(const void *address)
{
    for (size_t i = state.object_count; i-- > 0;)
        if (state.objects[i].address == address && state.objects[i].doomed) return &state.objects[i];
    return NULL;
}

/* Keeps the order of acquisition, which double_reset() renumbers by. */
static void forget(struct object *object)
{
    size_t index = (size_t)(object - state.objects);
    memmove(object, object + 1, (--state.object_count - index) * sizeof *object);
}

static uint64_t remember(enum kind kind, const void *address, size_t size)
{
    if (state.object_count == state.object_capacity) {
        state.object_capacity = state.object_capacity ? state.object_capacity * 2 : 64;
        state.objects = realloc(state.objects, state.object_capacity * sizeof *state.objects);
        if (!state.objects) abort();
    }
    uint64_t id = ++state.last_id;
    state.objects[state.object_count++] = (struct object){.address = address, .size = size, .id = id, .kind = kind};
    return id;
}

/* Strings and buffers are plain memory too: handing them to aws_mem_release is no crime. */
static bool may_release(enum kind have, enum kind asked)
{
    return have == asked || (asked == KIND_MEMORY && (have == KIND_STRING || have == KIND_BUFFER)) ||
           (asked == KIND_BUFFER && have == KIND_MEMORY);
}

static bool is_stalled(const char *function)
{
    for (size_t i = 0; i < state.stall_count; i++)
        if (strcmp(state.stalls[i], function) == 0) return true;
    return false;
}

static bool is_planned_to_fail(const char *function)
{
    bool fails = false;
    for (size_t i = 0; i < state.failure_count; i++) {
        struct failure *failure = &state.failures[i];
        if (strcmp(failure->function, function) != 0) continue;
        if (failure->countdown == 0) fails = true;
        else if (--failure->countdown == 0) {
            fails = true;
            *failure = state.failures[--state.failure_count];
            i--;
        }
    }
    return fails;
}

static size_t copy_out(const struct bytes *text, uint8_t *out, size_t capacity)
{
    size_t length = text->length < capacity ? text->length : capacity;
    if (out && length) memcpy(out, text->data, length);
    return text->length;
}

/* ---- what the other files call ---- */

bool double_enter(const char *function)
{
    pthread_mutex_lock(&lock);
    if (is_stalled(function)) {
        state.stalled_threads++;
        while (is_stalled(function)) pthread_cond_wait(&stalls_changed, &lock);
        state.stalled_threads--;
    }
    bool fails = is_planned_to_fail(function);
    pthread_mutex_unlock(&lock);
    return fails;
}

void double_failed(const char *function)
{
    pthread_mutex_lock(&lock);
    journal("fail", function, 0, NULL);
    if (state.next_error) double_last_error = state.next_error;
    state.next_error = 0;
    pthread_mutex_unlock(&lock);
}

void double_called(const char *function)
{
    pthread_mutex_lock(&lock);
    journal("call", function, 0, NULL);
    pthread_mutex_unlock(&lock);
}

void double_acquired(enum kind kind, const void *address, size_t size, const char *function)
{
    pthread_mutex_lock(&lock);
    journal("acquire", function, remember(kind, address, size), NULL);
    pthread_mutex_unlock(&lock);
}

void double_filled(const void *address, size_t size, const char *function)
{
    pthread_mutex_lock(&lock);
    journal("acquire", "aws_byte_buf", remember(KIND_BUFFER, address, size), function);
    pthread_mutex_unlock(&lock);
}

enum verdict double_released(enum kind kind, const void *address, const char *function, size_t *size)
{
    enum verdict verdict = RELEASE_NEVER;
    pthread_mutex_lock(&lock);
    struct object *object = find(address);
    if (!object) {
        violate(function, "releases what is unknown or was released before");
    } else if (!may_release(object->kind, kind)) {
        violate(function, "releases an object of another kind");
    } else {
        journal("release", function, object->id, NULL);
        *size = object->size;
        verdict = object->users ? RELEASE_LATER : RELEASE_NOW;
        if (verdict == RELEASE_NOW) forget(object);
        else {
            object->doomed = true;
            violate(function, "releases what a running call uses");
        }
    }
    pthread_mutex_unlock(&lock);
    return verdict;
}

bool double_pin(enum kind kind, const void *address, const char *function)
{
    pthread_mutex_lock(&lock);
    struct object *object = find(address);
    bool found = object && object->kind == kind;
    if (found) object->users++;
    else violate(function, "uses what is unknown or was released before");
    pthread_mutex_unlock(&lock);
    return found;
}

bool double_unpin(const void *address)
{
    bool last = false;
    pthread_mutex_lock(&lock);
    struct object *object = find_doomed(address);
    if (!object) object = find(address);
    if (object && --object->users == 0 && object->doomed) {
        forget(object);
        last = true;
    }
    pthread_mutex_unlock(&lock);
    return last;
}

uint64_t double_identity(const void *address)
{
    pthread_mutex_lock(&lock);
    struct object *object = find(address);
    uint64_t id = object ? object->id : 0;
    pthread_mutex_unlock(&lock);
    return id;
}

size_t double_count(enum kind kind)
{
    size_t count = 0;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < state.object_count; i++)
        if (state.objects[i].kind == kind && !state.objects[i].doomed) count++;
    pthread_mutex_unlock(&lock);
    return count;
}

void double_violation(const char *function, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&lock);
    violate(function, text);
    pthread_mutex_unlock(&lock);
}

bool double_holds_canary(const void *memory, size_t size)
{
    bool found = false;
    pthread_mutex_lock(&lock);
    const uint8_t *bytes = memory;
    size_t length = state.canary_length;
    for (size_t at = 0; length && !found && at + length <= size; at++) {
        size_t same = 0;
        while (same < length && (bytes[at + same] ^ CANARY_MASK) == state.canary[same]) same++;
        found = same == length;
    }
    pthread_mutex_unlock(&lock);
    return found;
}

_Noreturn void double_abort(const char *function, const char *reason)
{
    fprintf(stderr, "sdk double: %s: %s\n", function, reason);
    abort();
}

/* ---- what a test calls ---- */

/* Objects that are still held stay held, numbered anew from 1 in their order. Stalled calls go on. */
EXPORT void double_reset(void)
{
    pthread_mutex_lock(&lock);
    bytes_wipe(&state.journal);
    bytes_wipe(&state.violations);
    state.last_id = 0;
    for (size_t i = 0; i < state.object_count; i++) state.objects[i].id = ++state.last_id;
    state.failure_count = 0;
    state.stall_count = 0;
    state.next_error = 0;
    pthread_cond_broadcast(&stalls_changed);
    pthread_mutex_unlock(&lock);
}

EXPORT size_t double_log(uint8_t *out, size_t capacity)
{
    pthread_mutex_lock(&lock);
    size_t length = copy_out(&state.journal, out, capacity);
    pthread_mutex_unlock(&lock);
    return length;
}

EXPORT size_t double_violations(uint8_t *out, size_t capacity)
{
    pthread_mutex_lock(&lock);
    size_t length = copy_out(&state.violations, out, capacity);
    pthread_mutex_unlock(&lock);
    return length;
}

EXPORT size_t double_live(void)
{
    pthread_mutex_lock(&lock);
    size_t count = state.object_count;
    pthread_mutex_unlock(&lock);
    return count;
}

/* The nth call from now on, counted from 1; 0 means every call. */
EXPORT void double_fail(const char *function, uint32_t nth)
{
    pthread_mutex_lock(&lock);
    if (state.failure_count < MAX_PLANS) {
        struct failure *failure = &state.failures[state.failure_count++];
        snprintf(failure->function, MAX_NAME, "%s", function);
        failure->countdown = nth;
    }
    pthread_mutex_unlock(&lock);
}

EXPORT void double_stall(const char *function)
{
    pthread_mutex_lock(&lock);
    if (state.stall_count < MAX_PLANS) snprintf(state.stalls[state.stall_count++], MAX_NAME, "%s", function);
    pthread_mutex_unlock(&lock);
}

EXPORT void double_release_stalls(void)
{
    pthread_mutex_lock(&lock);
    state.stall_count = 0;
    pthread_cond_broadcast(&stalls_changed);
    pthread_mutex_unlock(&lock);
}

EXPORT uint32_t double_stalled(void)
{
    pthread_mutex_lock(&lock);
    uint32_t count = state.stalled_threads;
    pthread_mutex_unlock(&lock);
    return count;
}

EXPORT void double_set_last_error(int32_t code)
{
    pthread_mutex_lock(&lock);
    state.next_error = code;
    pthread_mutex_unlock(&lock);
}

/* Until it is told otherwise: a reset does not end it. */
EXPORT void double_share_key(uint32_t share)
{
    keypair_share(share);
}

/* Length 0 forgets the canary; longer ones than MAX_CANARY are cut. */
EXPORT void double_set_canary(const uint8_t *canary, size_t length)
{
    pthread_mutex_lock(&lock);
    state.canary_length = length < MAX_CANARY ? length : MAX_CANARY;
    for (size_t i = 0; i < state.canary_length; i++) state.canary[i] = canary[i] ^ CANARY_MASK;
    pthread_mutex_unlock(&lock);
}

/* ENCLAVE_KMS_DOUBLE_FAIL="function:nth,…" and ENCLAVE_KMS_DOUBLE_STALL="function,…" */
__attribute__((constructor)) static void read_environment(void)
{
    const char *variables[] = {"ENCLAVE_KMS_DOUBLE_FAIL", "ENCLAVE_KMS_DOUBLE_STALL"};
    for (int stall = 0; stall < 2; stall++) {
        const char *value = getenv(variables[stall]);
        char *copy = value ? strdup(value) : NULL, *rest = NULL;
        for (char *name = copy ? strtok_r(copy, ",", &rest) : NULL; name; name = strtok_r(NULL, ",", &rest)) {
            char *nth = strchr(name, ':');
            if (nth) *nth++ = 0;
            if (stall) double_stall(name);
            else double_fail(name, nth ? (uint32_t)strtoul(nth, NULL, 10) : 1);
        }
        free(copy);
    }
}
