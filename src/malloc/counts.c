#include "malloc/counts.h"

#include "base/os.h"
#include "malloc/jemalloc.h"
#include "malloc/startup.h"
#include "segment/segment.h"

#include <errno.h>

THREAD_LOCAL struct thread_counts thread_counts;
void (*counts_on_publish)(void);
void (*counts_on_thread_end)(void);

/* In jemalloc's thread data; 0: not known yet.  Written once, by counts_init, before threads. */
static ptrdiff_t alloc_offset, free_offset;

int counts_init(void)
{
    uint64_t *allocated, *freed;
    size_t size = sizeof allocated;
    int error = jep_mallctl("thread.allocatedp", &allocated, &size, NULL, 0);
    if (error)
        return error;
    size = sizeof freed;
    error = jep_mallctl("thread.deallocatedp", &freed, &size, NULL, 0);
    if (error)
        return error;
    alloc_offset = (char *)allocated - je_tsd_tls;
    free_offset = (char *)freed - je_tsd_tls;
    return 0;
}

uint64_t counts_allocated(void)
{
    return alloc_offset ? *(uint64_t *)(je_tsd_tls + alloc_offset) : 0;
}

void counts_publish(void)
{
    if (!alloc_offset)
        return;
    struct thread_counts *c = &thread_counts;
    uint64_t allocated = counts_allocated();
    uint64_t freed = *(uint64_t *)(je_tsd_tls + free_offset);
    uint64_t new_allocated = allocated - c->alloc_seen, new_freed = freed - c->free_seen;
    c->alloc_seen = allocated;
    c->free_seen = freed;
    if (own_thread)
        return;
    uint64_t total = COUNT_ADD(alloc_bytes, new_allocated) + new_allocated;
    COUNT_ADD(free_bytes, new_freed);
    if (c->alloc_objects | c->free_objects) {
        COUNT_ADD(alloc_objects, c->alloc_objects);
        COUNT_ADD(free_objects, c->free_objects);
        c->alloc_objects = c->free_objects = 0;
    }
    segment_publish(total);
    startup_publish(total);
    if (counts_on_publish)
        counts_on_publish();
}

void counts_freed(uint64_t bytes)
{
    thread_counts.free_seen -= bytes;
}

bool counts_as_own(bool own)
{
    bool outer = own_thread;
    counts_publish();
    own_thread = own;
    return outer;
}

/* jemalloc calls this where it would call its own: the thread is ending. */
void je_tcache_cleanup(jemalloc_tsd *tsd);

void je_tcache_cleanup(jemalloc_tsd *tsd)
{
    counts_publish();
    if (counts_on_thread_end && !own_thread)
        counts_on_thread_end();
    jep_tcache_cleanup(tsd);
}
