#include "malloc/slabs.h"

#include "malloc/records.h"

#ifdef JEMALLOC_RECORDS

static ptrdiff_t cache_offset; /* of a thread's cache in its data; 0: not known */

/* NULL: this thread has none, not yet or no longer. */
static const struct cache *own_cache(void)
{
    const struct cache *cache = (const void *)(je_tsd_tls + cache_offset);
    bool is_in_use = cache_offset && cache->slow &&
                     (uintptr_t)cache->slow - (uintptr_t)je_tsd_tls < TSD_BYTES &&
                     cache->slow->cache == cache && cache->slow->arena;
    return is_in_use ? cache : NULL;
}

void slabs_init(void)
{
    const char *counter = NULL;
    size_t size = sizeof counter;
    if (jep_mallctl("thread.allocatedp", &counter, &size, NULL, 0) == 0)
        cache_offset = counter + CACHE_BEHIND_COUNTER - je_tsd_tls;
}

bool slabs_are_known(void)
{
    return cache_offset != 0;
}

/* BINS: no slab has blocks of this size. */
static unsigned class_of(size_t size)
{
    unsigned class = 0;
    while (class < BINS && je_bin_infos[class].region_bytes != size)
        class ++;
    return class;
}

/* How many regions of the slab at `at` are free; -1: there is no slab of that class. */
static int free_at(uintptr_t at, unsigned class)
{
    const struct jemalloc_edata *extent = extent_at(at & JEMALLOC_EXTENT_SIZE);
    if (!extent)
        return -1;
    uint64_t bits = __atomic_load_n(&extent->bits, __ATOMIC_RELAXED);
    bool is_slab = EXTENT_ACTIVE(bits) && JEMALLOC_IS_SLAB(bits) && JEMALLOC_CLASS(bits) == class;
    bool is_here = at - extent_start(extent) < je_bin_infos[class].slab_bytes &&
                   extent_size(extent) == je_bin_infos[class].slab_bytes;
    unsigned free = JEMALLOC_FREE_IN_SLAB(bits);
    return is_slab && is_here && free <= je_bin_infos[class].regions ? (int)free : -1;
}

uintptr_t slabs_sibling(size_t usable)
{
    unsigned class = class_of(usable);
    const struct cache *cache = own_cache();
    if (class == BINS || !cache || !cache->bins[class].head)
        return 0;
    const struct cache_bin *bin = &cache->bins[class];
    uint16_t head = (uint16_t)(uintptr_t)bin->head;
    uintptr_t sibling = head != bin->empty ? bin->head[0] : head != bin->full ? bin->head[-1] : 0;
    return sibling && free_at(sibling, class) >= 0 ? sibling : 0;
}

double slabs_share(uintptr_t at, size_t size, bool there)
{
    unsigned class = class_of(size);
    if (class == BINS)
        return 0;
    int all = (int)je_bin_infos[class].regions, free = free_at(at, class);
    if (!there) /* one of those that are free is its */
        free = free < 0 ? all - 1 : free - 1;
    return free > 0 && free < all ? (double)free * (double)size / (all - free) : 0;
}

#else

void slabs_init(void)
{
}

bool slabs_are_known(void)
{
    return false;
}

uintptr_t slabs_sibling(size_t usable)
{
    (void)usable;
    return 0;
}

double slabs_share(uintptr_t at, size_t size, bool there)
{
    (void)at, (void)size, (void)there;
    return 0;
}

#endif
