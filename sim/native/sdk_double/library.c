/* Set-up of the process-wide library. */
#include "double.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct aws_allocator *library_allocator; /* NULL outside library_init..clean_up */
static pthread_t initializer;

struct aws_allocator *double_library_allocator(const char *function)
{
    pthread_mutex_lock(&lock);
    struct aws_allocator *allocator = library_allocator;
    pthread_mutex_unlock(&lock);
    if (!allocator) double_abort(function, "called outside library_init and library_clean_up");
    return allocator;
}

EXPORT struct aws_allocator *aws_nitro_enclaves_get_allocator(void)
{
    if (double_enter(__func__)) return double_failed(__func__), NULL;
    return double_library_allocator(__func__);
}

EXPORT void aws_nitro_enclaves_library_init(struct aws_allocator *allocator)
{
    double_enter(__func__); /* may stall, cannot fail */
    pthread_mutex_lock(&lock);
    if (library_allocator) {
        double_called(__func__); /* a second one does nothing */
    } else {
        library_allocator = allocator ? allocator : double_default_allocator();
        initializer = pthread_self();
        double_acquired(KIND_LIBRARY, &library_allocator, sizeof library_allocator, __func__);
    }
    pthread_mutex_unlock(&lock);
}

EXPORT void aws_nitro_enclaves_library_clean_up(void)
{
    double_enter(__func__);
    size_t size;
    pthread_mutex_lock(&lock);
    if (!library_allocator) {
        double_called(__func__);
    } else {
        if (!pthread_equal(initializer, pthread_self()))
            double_violation(__func__, "on another thread than library_init: the next init aborts");
        if (double_count(KIND_CLIENT)) double_violation(__func__, "with a live client: never returns");
        double_released(KIND_LIBRARY, &library_allocator, __func__, &size);
        library_allocator = NULL;
    }
    pthread_mutex_unlock(&lock);
}
