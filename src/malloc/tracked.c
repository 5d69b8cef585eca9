/* The tracked variant: jemalloc's functions with, around them, the object map, exact counts of
 * objects, and a countdown of our own whose samples cost no page each.
 *
 * Order: allocate, then record; forget, then free.  A block of the program's has its class at its
 * byte of the object map from the end of its allocation to the start of its freeing; blocks of our
 * own threads have none. */
#include "base/os.h"
#include "heap/object_map.h"
#include "malloc/counts.h"
#include "malloc/jemalloc.h"
#include "malloc/variants.h"
#include "prof/prof.h"

#include <errno.h>
#include <string.h>

#define GRANULE_BYTES ((size_t)1 << GRANULE_SHIFT)

/* Bytes of the gap in progress that may still be allocated without a sample.  0 in a new thread:
 * its first allocation draws a gap. */
static THREAD_LOCAL uint64_t gap_left;
static THREAD_LOCAL bool gap_drawn;

static void draw_gap(void)
{
    gap_left = prof_draw_gap() - 1;
    gap_drawn = true;
}

void tracked_redraw(void)
{
    draw_gap();
}

/* Counts and samples a block whose byte is set.  `toll` > gap_left. */
static COLD void gap_ended(void *ptr, size_t usable, uint64_t toll)
{
    if (!gap_drawn) {
        draw_gap();
        if (toll <= gap_left) {
            gap_left -= toll;
            return;
        }
    }
    if (prof_wanted() && prof_alloc_at(ptr, usable, toll))
        *object_byte(ptr) |= OBJECT_SAMPLED;
    draw_gap();
}

#ifdef HOSTILE_ALLOCATIONS
/* A build for tests: cycles wherever they hurt. */
void (*tracked_hostile)(void);

static void be_hostile(void)
{
    static unsigned allocations; /* of all threads */
    if (__atomic_add_fetch(&allocations, 1, __ATOMIC_RELAXED) % HOSTILE_ALLOCATIONS == 0 &&
        tracked_hostile)
        tracked_hostile();
}
#else
static void be_hostile(void)
{
}
#endif

static ALWAYS_INLINE uint64_t toll_of(unsigned class)
{
    return __atomic_load_n(&rate_toll[class], __ATOMIC_RELAXED);
}

/* Of a block of any class. */
static uint64_t toll_for(unsigned class, size_t usable)
{
    uint64_t toll = toll_of(class);
    return toll ? toll : usable;
}

static ALWAYS_INLINE void account(void *ptr, unsigned class, size_t usable, uint64_t toll)
{
    *object_byte(ptr) = (uint8_t) class;
    thread_counts.alloc_objects++;
    be_hostile();
    if (LIKELY(toll <= gap_left))
        gap_left -= toll;
    else
        gap_ended(ptr, usable, toll);
}

static void account_any(void *ptr, size_t usable)
{
    unsigned class = object_class_of(usable);
    account(ptr, class, usable, toll_for(class, usable));
}

/* For blocks whose class is not known from the request. */
static NOINLINE void *track(void *ptr)
{
    if (ptr && !own_thread)
        account_any(ptr, jep_malloc_usable_size(ptr));
    return ptr;
}

/* Takes a block off the record. */
static ALWAYS_INLINE void untrack(void *ptr)
{
    uint8_t *byte = object_byte(ptr), was = *byte;
    if (UNLIKELY(was & OBJECT_SAMPLED))
        prof_free_at(ptr);
    *byte = 0;
    thread_counts.free_objects += was != 0;
}

static size_t at_least(size_t size)
{
    return size < GRANULE_BYTES ? GRANULE_BYTES : size;
}

HOT void *tracked_malloc(size_t size)
{
    if (UNLIKELY(size > OBJECT_TABLE_MAX || own_thread))
        return track(jep_malloc(at_least(size)));
    unsigned class = object_class_table[(size + 15) / 16];
    size_t usable = object_class_size[class];
    void *ptr = jep_malloc(usable);
    if (LIKELY(ptr))
        account(ptr, class, usable, toll_of(class));
    return ptr;
}

HOT void tracked_free(void *ptr)
{
    if (UNLIKELY(!ptr))
        return;
    untrack(ptr);
    jep_free(ptr);
}

void *tracked_calloc(size_t count, size_t size)
{
    size_t bytes;
    if (UNLIKELY(__builtin_mul_overflow(count, size, &bytes))) {
        errno = ENOMEM;
        return NULL;
    }
    if (UNLIKELY(bytes > OBJECT_TABLE_MAX || own_thread))
        return track(jep_calloc(1, at_least(bytes)));
    unsigned class = object_class_table[(bytes + 15) / 16];
    size_t usable = object_class_size[class];
    void *ptr = jep_calloc(1, usable);
    if (LIKELY(ptr))
        account(ptr, class, usable, toll_of(class));
    return ptr;
}

/* Grows or shrinks a block where it lies, if jemalloc can, and returns its usable bytes now: asked,
 * as what jemalloc answers is not always so.  A block that changes counts as freed and allocated,
 * as a moved one does, but is on record all the while.  `old`: its usable bytes before. */
static size_t resize_in_place(void *ptr, size_t old, size_t size, size_t extra, int flags)
{
    jep_xallocx(ptr, size, extra, flags);
    size_t now = jep_malloc_usable_size(ptr);
    uint8_t *byte = object_byte(ptr);
    if (now == old || *byte == 0)
        return now;
    if (UNLIKELY(*byte & OBJECT_SAMPLED))
        prof_free_at(ptr);
    thread_counts.free_objects++;
    account_any(ptr, now);
    return now;
}

static bool is_aligned(const void *ptr, int flags)
{
    return ((uintptr_t)ptr & (((uintptr_t)1 << (flags & MALLOCX_LG_ALIGN_MASK)) - 1)) == 0;
}

/* A moving realloc is done by hand: between jemalloc's own copy and our record of it, everything
 * below the block would look unreachable.  The old block stays on record until the new one holds
 * its contents; and that one is on record before it gets them, as a page that is looked at beside
 * the program while no block is on it counts as looked at until it is written to again. */
static void *resize(void *ptr, size_t size, int flags)
{
    size = at_least(size);
    if (UNLIKELY(own_thread || *object_byte(ptr) == 0))
        return track(jep_rallocx(ptr, size, flags));
    size_t old = jep_malloc_usable_size(ptr), want = jep_nallocx(size, flags);
    if (want == 0)
        return NULL;
    /* Of that size already, nothing is allocated, as in the plain variant. */
    if (is_aligned(ptr, flags) &&
        (want == old || resize_in_place(ptr, old, size, 0, flags) == want))
        return ptr;
    void *fresh = jep_mallocx(size, flags);
    if (!fresh)
        return NULL;
    account_any(fresh, want);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    memcpy(fresh, ptr, MIN(old, size));
    untrack(ptr);
    jep_dallocx(ptr, flags & ~(MALLOCX_ZERO | MALLOCX_LG_ALIGN_MASK));
    return fresh;
}

void *tracked_realloc(void *ptr, size_t size)
{
    if (!ptr)
        return tracked_malloc(size);
    if (size == 0) {
        tracked_free(ptr);
        return NULL;
    }
    void *fresh = resize(ptr, size, 0);
    if (!fresh)
        errno = ENOMEM;
    return fresh;
}

void *tracked_reallocarray(void *ptr, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return tracked_realloc(ptr, bytes);
}

int tracked_posix_memalign(void **out, size_t alignment, size_t size)
{
    int error = jep_posix_memalign(out, alignment, at_least(size));
    if (!error)
        track(*out);
    return error;
}

void *tracked_aligned_alloc(size_t alignment, size_t size)
{
    return track(jep_aligned_alloc(alignment, at_least(size)));
}

void *tracked_memalign(size_t alignment, size_t size)
{
    return track(plain_memalign(alignment, at_least(size)));
}

void *tracked_valloc(size_t size)
{
    return track(plain_valloc(at_least(size)));
}

void *tracked_pvalloc(size_t size)
{
    return track(plain_pvalloc(size));
}

void *tracked_mallocx(size_t size, int flags)
{
    return track(jep_mallocx(at_least(size), flags));
}

void *tracked_rallocx(void *ptr, size_t size, int flags)
{
    return resize(ptr, size, flags);
}

size_t tracked_xallocx(void *ptr, size_t size, size_t extra, int flags)
{
    return resize_in_place(ptr, jep_malloc_usable_size(ptr), at_least(size), extra, flags);
}

void tracked_dallocx(void *ptr, int flags)
{
    untrack(ptr);
    jep_dallocx(ptr, flags);
}

void tracked_sdallocx(void *ptr, size_t size, int flags)
{
    untrack(ptr);
    jep_sdallocx(ptr, at_least(size), flags);
}

void tracked_forget(uintptr_t start, uintptr_t end)
{
    for (uintptr_t block = start; block < end; block += GRANULE_BYTES)
        if (*object_byte((void *)block))
            untrack((void *)block);
}

size_t tracked_nallocx(size_t size, int flags)
{
    return jep_nallocx(at_least(size), flags);
}

/* Nobody is given a block of 8 bytes: to a program that asks, the least class is the next one, as
 * it is to one that asks nallocx. */
static void tell_least(const size_t *mib, size_t length, void *old, const size_t *old_size)
{
    static size_t least[4];
    static bool known;
    size_t found[4], levels = ARRAY_LENGTH(found);
    if (!__atomic_load_n(&known, __ATOMIC_ACQUIRE)) {
        if (jep_mallctlnametomib("arenas.bin.0.size", found, &levels) != 0)
            return;
        memcpy(least, found, sizeof least);
        __atomic_store_n(&known, true, __ATOMIC_RELEASE);
    }
    if (length == ARRAY_LENGTH(least) && memcmp(mib, least, sizeof least) == 0 && old && old_size &&
        *old_size == sizeof(size_t))
        *(size_t *)old = at_least(*(size_t *)old);
}

int tracked_mallctlbymib(const size_t *mib, size_t length, void *old, size_t *old_size, void *fresh,
                         size_t fresh_size)
{
    int error = jep_mallctlbymib(mib, length, old, old_size, fresh, fresh_size);
    if (!error)
        tell_least(mib, length, old, old_size);
    return error;
}

int tracked_mallctl(const char *name, void *old, size_t *old_size, void *fresh, size_t fresh_size)
{
    int error = jep_mallctl(name, old, old_size, fresh, fresh_size);
    size_t mib[4], length = ARRAY_LENGTH(mib);
    if (!error && strncmp(name, "arenas.bin.", 11) == 0 &&
        jep_mallctlnametomib(name, mib, &length) == 0)
        tell_least(mib, length, old, old_size);
    return error;
}

static void *again(size_t alignment, size_t size)
{
    return alignment ? tracked_aligned_alloc(alignment, size) : tracked_malloc(size);
}

void *tracked_new(size_t size)
{
    void *ptr = tracked_malloc(size);
    return LIKELY(ptr) ? ptr : new_failed(again, 0, size, 0);
}

void *tracked_new_nothrow(size_t size)
{
    void *ptr = tracked_malloc(size);
    return LIKELY(ptr) ? ptr : new_failed(again, 0, size, 1);
}

void *tracked_new_aligned(size_t size, size_t alignment)
{
    void *ptr = tracked_aligned_alloc(alignment, size);
    return LIKELY(ptr) ? ptr : new_failed(again, alignment, size, 0);
}

void *tracked_new_aligned_nothrow(size_t size, size_t alignment)
{
    void *ptr = tracked_aligned_alloc(alignment, size);
    return LIKELY(ptr) ? ptr : new_failed(again, alignment, size, 1);
}
