/* The plain variant: jemalloc's own fast path, whose countdown and sampled blocks are its
 * profiler's.  The functions of that profiler that decide and record are ours. */
#include "base/os.h"
#include "malloc/arena.h"
#include "malloc/counts.h"
#include "malloc/jemalloc.h"
#include "malloc/slabs.h"
#include "malloc/variants.h"
#include "prof/prof.h"

#include <errno.h>

/* jemalloc's smallest large class (sc.h). */
#define LARGE_MIN (4 * JEMALLOC_PAGE)

/* A context that means: allocate as usual, not sampled (prof_inlines.h). */
#define NOT_SAMPLED ((void *)(uintptr_t)1)

void *je_prof_tctx_create(jemalloc_tsd *tsd);
void je_prof_malloc_sample_object(jemalloc_tsd *tsd, const void *ptr, size_t size, size_t usable,
                                  void *tctx);
void je_prof_unwind_init(void);
void je_prof_backtrace(jemalloc_tsd *tsd, struct jemalloc_prof_bt *bt);

/* Between je_prof_tctx_create and je_prof_malloc_sample_object: the allocation at hand is the one
 * that is sampled. */
static THREAD_LOCAL bool sampling;
/* With the toll that prof_choose has said; 0: its size was not known, and it is asked then. */
static THREAD_LOCAL uint64_t sampling_toll;

/* What it costs to look at an allocation that is no sample, as measured: jemalloc's slow path with
 * its events; where the size is known late, also the page of its own that it has then. */
#define LOOK_NS 100u
#define LATE_LOOK_NS 2000u

/* The countdown has ended in this allocation, at a point or within the window behind one
 * (points.h). */
void *je_prof_tctx_create(jemalloc_tsd *tsd)
{
    if (own_thread || !prof_wanted())
        return NOT_SAMPLED;
    size_t asked = jemalloc_asked_bytes, usable = asked ? jep_nallocx(asked, 0) : 0;
    uint64_t toll = usable ? prof_choose(counts_allocated(), usable) : 0;
    if (usable && !toll) {
        rate_passed(LOOK_NS);
        return NOT_SAMPLED;
    }
    void *tctx = jep_prof_tctx_create(tsd);
    sampling = tctx != NULL;
    sampling_toll = toll;
    return tctx ? tctx : NOT_SAMPLED;
}

/* A sampled small block lies alone in an extent, on a page of its own: of the smallest large class
 * in 5.3.0, of as few pages as hold it in 5.3.1.  It goes to an arena where nothing else does, so
 * what it does not use of it has never been touched. */
jemalloc_arena *plain_arena(jemalloc_arena *arena, size_t usable, size_t alignment)
{
    bool alone = UNLIKELY(sampling) && usable <= LARGE_MIN && alignment == JEMALLOC_PAGE;
    return alone && !arena ? arena_of_samples() : arena;
}

/* jemalloc keeps the size it is told here with the block and returns it at free: it carries our
 * handle instead.  (Its own statistics by size, prof_stats, are off.) */
void je_prof_malloc_sample_object(jemalloc_tsd *tsd, const void *ptr, size_t size, size_t usable,
                                  void *tctx)
{
    sampling = false;
    uint64_t toll = sampling_toll ? sampling_toll : prof_choose(counts_allocated(), usable),
             handle = 0;
    if (toll)
        handle = prof_alloc(ptr, usable, toll, slabs_sibling(usable));
    else
        rate_passed(LATE_LOOK_NS);
    jep_prof_malloc_sample_object(tsd, ptr, handle, usable, tctx);
}

#ifdef COPIED_ENTRIES
/* The exported malloc is the copy, whose slow path notes how much is asked for: inside the library
 * the same. */
#define known_malloc entry_malloc
#else
#define known_malloc jep_malloc
#endif

void *plain_calloc(size_t count, size_t size)
{
    jemalloc_asked_bytes = count * size; /* where that is too much, nothing is allocated */
    void *ptr = jep_calloc(count, size);
    jemalloc_asked_bytes = 0;
    return ptr;
}

static THREAD_LOCAL uint64_t gaps_drawn; /* for plain_redraw */

uint64_t je_prof_sample_new_event_wait(jemalloc_tsd *tsd)
{
    uint64_t before = prof_thread.points.next, wait = prof_wait(counts_allocated());
    gaps_drawn += prof_thread.points.next != before;
    return wait;
}

/* What jemalloc takes for the stack of every sample: its own tables stay of one entry. */
void je_prof_backtrace(jemalloc_tsd *tsd, struct jemalloc_prof_bt *bt)
{
    bt->vec[0] = NOT_SAMPLED;
    bt->length = 1;
}

/* jemalloc would walk a stack here to warm up an unwinder that is never used. */
void je_prof_unwind_init(void)
{
}

/* Nothing outside jemalloc reaches the gap in progress, so it is used up: by blocks whose memory is
 * never touched, unsampled and not counted as the program's. */
void plain_redraw(void)
{
    bool outer = counts_as_own(true);
    for (uint64_t before = gaps_drawn, tries = 0; gaps_drawn == before && tries < 64; tries++) {
        void *block = jep_malloc(8u << 20);
        if (!block)
            break;
        jep_free(block);
    }
    counts_as_own(outer);
}

/* A realloc that finds its block of the right size already allocates nothing.  jemalloc counts it
 * as a new allocation of the whole block, so a buffer of megabytes that grows byte by byte would be
 * sampled at every call.  (And jemalloc leaves errno alone.) */
void *plain_realloc(void *ptr, size_t size)
{
    /* Interpreters allocate by realloc of nothing: jemalloc's fast path is malloc's. */
    if (!ptr)
        return known_malloc(size);
    size_t usable = jep_malloc_usable_size(ptr);
    /* Most that grow or shrink do so by much, and need not ask: a class is at most twice the one
     * before it, and the first is 8. */
    if (size && size <= usable && size + 4 > usable / 2 && jep_nallocx(size, 0) == usable)
        return ptr;
    jemalloc_asked_bytes = size;
    void *fresh = jep_realloc(ptr, size);
    jemalloc_asked_bytes = 0;
    if (UNLIKELY(!fresh) && size)
        errno = ENOMEM;
    return fresh;
}

void *plain_reallocarray(void *ptr, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return plain_realloc(ptr, bytes);
}

/* glibc takes any alignment and rounds it up; jemalloc's own leaves errno alone. */
void *plain_memalign(size_t alignment, size_t size)
{
    size_t rounded = sizeof(void *);
    while (rounded < alignment && rounded << 1)
        rounded <<= 1;
    if (rounded < alignment) {
        errno = EINVAL;
        return NULL;
    }
    void *ptr = jep_memalign(rounded, size);
    if (!ptr)
        errno = ENOMEM;
    return ptr;
}

void *plain_valloc(size_t size)
{
    return plain_memalign(OS_PAGE, size);
}

void *plain_pvalloc(size_t size)
{
    if (size > SIZE_MAX - OS_PAGE) {
        errno = ENOMEM;
        return NULL;
    }
    size_t rounded = (size + OS_PAGE - 1) & ~(size_t)(OS_PAGE - 1);
    return plain_memalign(OS_PAGE, rounded ? rounded : OS_PAGE);
}

static void *again(size_t alignment, size_t size)
{
    return alignment ? jep_aligned_alloc(alignment, size) : known_malloc(size);
}

void *plain_new(size_t size)
{
    void *ptr = known_malloc(size);
    return LIKELY(ptr) ? ptr : new_failed(again, 0, size, 0);
}

void *plain_new_nothrow(size_t size)
{
    void *ptr = known_malloc(size);
    return LIKELY(ptr) ? ptr : new_failed(again, 0, size, 1);
}

void *plain_new_aligned(size_t size, size_t alignment)
{
    void *ptr = jep_aligned_alloc(alignment, size);
    return LIKELY(ptr) ? ptr : new_failed(again, alignment, size, 0);
}

void *plain_new_aligned_nothrow(size_t size, size_t alignment)
{
    void *ptr = jep_aligned_alloc(alignment, size);
    return LIKELY(ptr) ? ptr : new_failed(again, alignment, size, 1);
}
