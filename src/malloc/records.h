/* jemalloc's own records as far as this library reads them where they lie: which extent a page
 * belongs to, slabs, threads' caches.
 *
 * The layout is that of 5.3.0 with 48 bits of address and pages of 4096 bytes (edata.h, rtree.h,
 * bin_info.h, cache_bin.h, tcache_structs.h, arena_structs.h); embed_jemalloc.sh looks whether the
 * archive's tables have these sizes, and defines JEMALLOC_RECORDS if they do.  Whoever reads looks
 * whether what is in them agrees.  jemalloc never unmaps a record or a part of the tree, so reading
 * is safe at any time; what is read while nobody stands still may be in the middle of a change. */
#ifndef MALLOC_RECORDS_H
#define MALLOC_RECORDS_H

#include "malloc/jemalloc.h"

#include <stddef.h>
#include <stdint.h>

#ifdef JEMALLOC_RECORDS

/* ---- which extent a page belongs to: a tree of two levels ---- */

#define TREE_ROOT 120 /* of emap_t */
#define TREE_BITS 18
#define TREE_MASK ((UINT64_C(1) << TREE_BITS) - 1)

extern char je_arena_emap_global[] __attribute__((visibility("hidden")));

static inline const struct jemalloc_edata *extent_at(uintptr_t page)
{
    uint64_t *const *root = (uint64_t *const *)(je_arena_emap_global + TREE_ROOT);
    const uint64_t *leaf = root[page >> (JEMALLOC_LG_PAGE + TREE_BITS) & TREE_MASK];
    if (!leaf)
        return NULL;
    /* The record's address, aligned to 128, between other bits. */
    int64_t bits = (int64_t)(leaf[page >> JEMALLOC_LG_PAGE & TREE_MASK] << 16) >> 16;
    return (const void *)((uintptr_t)bits & ~(uintptr_t)127);
}

static inline uintptr_t extent_start(const struct jemalloc_edata *extent)
{
    return (uintptr_t)extent->addr & JEMALLOC_EXTENT_SIZE;
}

static inline size_t extent_size(const struct jemalloc_edata *extent)
{
    return extent->size_and_serial & JEMALLOC_EXTENT_SIZE;
}

/* ---- slabs ---- */

struct bin_info {
    size_t region_bytes, slab_bytes;
    uint32_t regions, shards;
    size_t bitmap[2];
};
extern const struct bin_info je_bin_infos[] __attribute__((visibility("hidden")));
#define BINS 36u     /* classes that have slabs */
#define CLASSES 232u /* of all sizes; this one: handed out to nobody yet, or no longer */
#define REGIONS_MAX 512u

#define EXTENT_ARENA(bits) ((bits)&0xfff)
#define EXTENT_ACTIVE(bits) (((bits) >> 17 & 7) == 0)

/* A set bit is a free region.  Behind what all extents have. */
static inline const uint64_t *free_regions(const struct jemalloc_edata *extent)
{
    return (const uint64_t *)extent + 8;
}

/* ---- threads' caches ---- */

#define CACHE_BINS 73u
#define TSD_BYTES 0xa48u
/* The calling thread has a cache, which lies behind its counter of bytes. */
#define CACHE_BEHIND_COUNTER 32

struct cache_bin {
    uintptr_t *head;
    uint64_t requests;
    /* The low bits of addresses: the array of the bin is [full, empty), what it caches [head,
     * empty). */
    uint16_t low_water, full, empty, unused;
};
struct cache_slow;
struct cache {
    struct cache_slow *slow;
    struct cache_bin bins[CACHE_BINS];
};
struct cache_slow {
    struct cache_slow *next, *before;
    uint64_t other[3];
    const void *arena; /* NULL: the cache is not in use, and its arrays may be gone */
    uint64_t more[14];
    uintptr_t arrays; /* of the bins: a block */
    struct cache *cache;
};
_Static_assert(offsetof(struct cache_slow, arrays) == 160, "tcache_slow_t of 5.3.0");

#define ARENAS_MAX 4096u
#define ARENA_CACHES 10392 /* of arena_t */

/* The first of the ring of those that an arena serves; NULL: there is none. */
static inline const struct cache_slow *first_cache(const jemalloc_arena *arena)
{
    return *(struct cache_slow *const *)((const char *)arena + ARENA_CACHES);
}

#endif
#endif
