/*
 * What the C library's allocator has handed out in this process, every arena and mapped block included; and a
 * way to leak, so that the soak test can show what it sees.
 */
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

size_t probe_in_use(void) {
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

void probe_leak(size_t bytes) {
    /* volatile: a compiler may leave out an allocation that nobody reads. */
    volatile char *block = malloc(bytes);
    if (block != NULL && bytes > 0) block[0] = 1;
}
