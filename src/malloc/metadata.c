#include "malloc/metadata.h"

#include "base/compiler.h"
#include "gc/sys/fault.h"
#include "heap/extents.h"
#include "heap/object_map.h"
#include "malloc/arena.h"
#include "malloc/jemalloc.h"
#include "malloc/ours.h"
#include "malloc/records.h"

#ifdef JEMALLOC_RECORDS

struct fill {
    allocated_tell *tell;
    void *ctx;
    struct allocated_thread *threads;
    unsigned count;
    unsigned own_arena;
    unsigned inside;    /* threads that stand in the allocator */
    bool inside_unseen; /* one of them has a cache that is not known to be its */
    bool unseen;        /* there is a thread whose caches are not known to be its */
    unsigned in_motion; /* slabs in the middle of a change */
    bool broken;        /* a list of caches is in the middle of a change */
};

static uint8_t *byte_of(uintptr_t block)
{
    return object_byte((const void *)block);
}

/* Blocks of 8 bytes are of the class of 16 there: two that share a granule are one block, and lost
 * only together.  Of these, both are allocated: */
#define BOTH OBJECT_SAMPLED

static void enter_region(uintptr_t block, unsigned class)
{
    uint8_t *byte = byte_of(block);
    *byte = (uint8_t)(*byte ? *byte | BOTH : MAX(class, 1u));
}

static unsigned taken_regions(const struct jemalloc_edata *extent, unsigned regions)
{
    const uint64_t *free = free_regions(extent);
    unsigned taken = 0;
    for (unsigned word = 0; word * 64 < regions; word++) {
        unsigned left = regions - word * 64;
        uint64_t all = left < 64 ? (UINT64_C(1) << left) - 1 : ~UINT64_C(0);
        taken += (unsigned)__builtin_popcountll(~free[word] & all);
    }
    return taken;
}

/* Where the bits and the count of free regions differ somebody is changing them: then each region
 * may be a block. */
static void enter_slab(struct fill *fill, const struct jemalloc_edata *extent, unsigned class)
{
    const struct bin_info *info = &je_bin_infos[class];
    const uint64_t *free = free_regions(extent);
    uintptr_t block = extent_start(extent);
    bool moves =
        taken_regions(extent, info->regions) + JEMALLOC_FREE_IN_SLAB(extent->bits) != info->regions;
    fill->in_motion += moves;
    for (unsigned i = 0; i < info->regions; i++, block += info->region_bytes) {
        if (!moves && free[i / 64] >> i % 64 & 1)
            continue;
        enter_region(block, class);
        if (moves)
            fill->tell(fill->ctx, block & ~(uintptr_t)15, ALLOCATED_DOUBTED);
    }
}

static void enter_extent(struct fill *fill, const struct jemalloc_edata *extent)
{
    uint64_t bits = extent->bits;
    unsigned class = JEMALLOC_CLASS(bits);
    if (!EXTENT_ACTIVE(bits) || class >= CLASSES ||
        (fill->own_arena && EXTENT_ARENA(bits) == fill->own_arena))
        return;
    if (JEMALLOC_IS_SLAB(bits)) {
        if (class < BINS && je_bin_infos[class].slab_bytes == extent_size(extent))
            enter_slab(fill, extent, class);
        return;
    }
    /* A small one alone in its extent is sampled: how large it is jemalloc is asked. */
    *byte_of((uintptr_t)extent->addr) =
        (uint8_t)(class < BINS ? OBJECT_CLASS_HUGE | OBJECT_SAMPLED
                               : object_class_of(je_sz_index2size_tab[class]));
}

static void enter_range(struct fill *fill, struct extent range)
{
    for (uintptr_t page = range.start; page < range.end;) {
        const struct jemalloc_edata *extent = extent_at(page);
        /* What was there before is named by leaves that nobody has cleared. */
        if (!extent || extent_start(extent) != page || !extent_size(extent)) {
            page += JEMALLOC_PAGE;
            continue;
        }
        enter_extent(fill, extent);
        page += extent_size(extent);
    }
}

/* ---- threads' caches ---- */

static bool on_heap(uintptr_t address)
{
    unsigned low = 0, high = extent_count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (extents[middle].end > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low < extent_count && extents[low].start <= address;
}

/* Whether a block is entered at this address. */
static bool is_entered(uintptr_t block)
{
    return on_heap(block) && *byte_of(block);
}

/* More than the threads that have caches: those of our threads. */
#define CACHES_MORE 1024u

/* The lists are rings.  Whoever is within a change of one leaves it such that some caches are not
 * come by from its first one. */
static const char *each_cache(struct fill *fill,
                              const char *(*fn)(struct fill *fill, const struct cache_slow *slow))
{
    for (unsigned i = 0; i < ARENAS_MAX; i++) {
        const jemalloc_arena *arena = je_arenas[i];
        if (!arena)
            continue;
        const struct cache_slow *first = first_cache(arena);
        unsigned seen = 0;
        for (const struct cache_slow *at = first; at; at = at->next == first ? NULL : at->next) {
            if (at->cache->slow != at)
                return "jemalloc's list of caches is not as expected";
            fill->broken |= at->next->before != at;
            if (++seen > fill->count + CACHES_MORE) {
                fill->broken = true;
                break;
            }
            const char *reason = fn(fill, at);
            if (reason)
                return reason;
        }
    }
    return NULL;
}

/* Where a thread has its cache. */
static ptrdiff_t cache_offset; /* from its data on; written by metadata_init */

static struct allocated_thread *thread_with(const struct fill *fill, const struct cache_slow *slow)
{
    uintptr_t offset = (uintptr_t)je_tsd_tls - (uintptr_t)__builtin_thread_pointer();
    for (unsigned i = 0; i < fill->count; i++) {
        uintptr_t pointer = fill->threads[i].pointer;
        if (pointer && (uintptr_t)slow - (pointer + offset) < TSD_BYTES)
            return &fill->threads[i];
    }
    return NULL;
}

static bool is_inside(const struct fill *fill, const struct cache_slow *slow)
{
    struct allocated_thread *thread = thread_with(fill, slow);
    if (thread)
        thread->seen = true;
    return thread ? thread->inside : fill->inside_unseen;
}

/* Calls `fn` for the cached blocks of a cache.  `inside`: also for what may be put into it just
 * now, which an empty bin alone is filled with, all at once. */
static void each_slot(struct fill *fill, const struct cache *cache, bool inside,
                      void (*fn)(struct fill *fill, uintptr_t block, unsigned class))
{
    for (unsigned i = 0; i < CACHE_BINS; i++) {
        const struct cache_bin *bin = &cache->bins[i];
        uint16_t head = (uint16_t)(uintptr_t)bin->head;
        if (!bin->head)
            continue;
        const uintptr_t *first = bin->head, *end;
        end = first + (uint16_t)(bin->empty - head) / sizeof(uintptr_t);
        if (inside && first == end)
            first -= (uint16_t)(head - bin->full) / sizeof(uintptr_t);
        for (; first < end; first++)
            fn(fill, *first, i);
    }
}

static void doubt(struct fill *fill, uintptr_t block, unsigned class)
{
    (void)class;
    if (is_entered(block))
        fill->tell(fill->ctx, block & ~(uintptr_t)15, ALLOCATED_DOUBTED);
}

static void take_out(struct fill *fill, uintptr_t block, unsigned class)
{
    (void)fill;
    if (!is_entered(block))
        return;
    uint8_t *byte = byte_of(block);
    *byte = (uint8_t)(class == 0 && *byte & BOTH ? *byte & ~BOTH : 0);
}

static const char *take_out_cached(struct fill *fill, const struct cache_slow *slow)
{
    if (!is_inside(fill, slow))
        each_slot(fill, slow->cache, false, take_out);
    if (is_entered(slow->arrays))
        *byte_of(slow->arrays) = 0;
    return on_heap((uintptr_t)slow) ? "the program has caches of its own (tcache.create)" : NULL;
}

/* After all that is certain is out: what one thread has just flushed may be another's already, and
 * still lie in the first one's array. */
static const char *doubt_cached(struct fill *fill, const struct cache_slow *slow)
{
    if (is_inside(fill, slow))
        each_slot(fill, slow->cache, true, doubt);
    return NULL;
}

/* A thread whose cache is in no list is about to begin or to end, or its list is being changed. */
static void doubt_unlisted(struct fill *fill)
{
    uintptr_t offset = (uintptr_t)je_tsd_tls - (uintptr_t)__builtin_thread_pointer();
    for (unsigned i = 0; i < fill->count; i++) {
        const struct allocated_thread *thread = &fill->threads[i];
        if (thread->seen || !thread->pointer || !cache_offset)
            continue;
        const struct cache_slow *slow =
            (const void *)(thread->pointer + offset + (uintptr_t)cache_offset);
        /* A thread that was made past libc may have no such data. */
        uintptr_t cache = fault_load((const uintptr_t *)&slow->cache);
        if (cache - (thread->pointer + offset) >= TSD_BYTES)
            continue; /* it has never had one */
        each_slot(fill, (const struct cache *)cache, true, doubt);
        doubt(fill, slow->arrays, 0);
    }
}

const char *metadata_enter(struct allocated_thread *threads, unsigned count, allocated_tell *tell,
                           void *ctx)
{
    struct fill fill = {.tell = tell,
                        .ctx = ctx,
                        .threads = threads,
                        .count = count,
                        .own_arena = arena_own_index()};
    const char *reason = ours_refusal();
    if (reason)
        return reason;
    for (unsigned i = 0; i < count; i++) {
        fill.inside += threads[i].inside;
        fill.unseen |= !threads[i].pointer;
        fill.inside_unseen |= threads[i].inside && !threads[i].pointer;
    }
    for (unsigned i = 0; i < extent_count; i++)
        enter_range(&fill, extents[i]);
    /* One thread changes one slab at a time, under a lock of it. */
    if (fill.in_motion > fill.inside)
        return "jemalloc's records contradict each other";
    reason = each_cache(&fill, take_out_cached);
    if (reason)
        return reason;
    if (fill.broken && fill.unseen)
        return "a thread was entering jemalloc's list of caches, or leaving it";
    doubt_unlisted(&fill);
    ours_tell(is_entered, metadata_block_size, tell, ctx);
    return each_cache(&fill, doubt_cached);
}

size_t metadata_block_size(const void *block)
{
    const struct jemalloc_edata *extent = extent_at((uintptr_t)block & JEMALLOC_EXTENT_SIZE);
    unsigned class = extent ? JEMALLOC_CLASS(extent->bits) : CLASSES;
    return class < CLASSES ? je_sz_index2size_tab[class] : 0;
}

/* Blocks of known sizes are where the records say. */
static bool agrees(size_t size)
{
    void *block = jep_malloc(size);
    const struct jemalloc_edata *extent =
        block ? extent_at((uintptr_t)block & JEMALLOC_EXTENT_SIZE) : NULL;
    bool agrees = false;
    if (extent) {
        unsigned class = JEMALLOC_CLASS(extent->bits);
        uintptr_t within = (uintptr_t)block - extent_start(extent);
        agrees = class < CLASSES && EXTENT_ACTIVE(extent->bits) &&
                 je_sz_index2size_tab[class] == jep_malloc_usable_size(block) &&
                 within < extent_size(extent);
        if (agrees && JEMALLOC_IS_SLAB(extent->bits)) {
            const struct bin_info *info = &je_bin_infos[class];
            size_t number = within / info->region_bytes;
            agrees = info->region_bytes == je_sz_index2size_tab[class] &&
                     info->slab_bytes == extent_size(extent) &&
                     info->regions * info->region_bytes == info->slab_bytes &&
                     within % info->region_bytes == 0 && info->regions <= REGIONS_MAX &&
                     !(free_regions(extent)[number / 64] >> number % 64 & 1);
        }
    }
    jep_free(block);
    return agrees;
}

bool metadata_is_known(void)
{
    return true;
}

extern uint8_t je_sz_size2index_tab[] __attribute__((visibility("hidden"))); /* by (size + 7) / 8 */

void metadata_be_exact(void)
{
    je_sz_size2index_tab[0] = je_sz_size2index_tab[1] = 1;
}

static bool learn_cache_offset(void)
{
    const char *counter = NULL;
    size_t size = sizeof counter;
    if (jep_mallctl("thread.allocatedp", &counter, &size, NULL, 0) != 0)
        return false;
    const struct cache *cache = (const void *)(counter + CACHE_BEHIND_COUNTER);
    uintptr_t offset = (uintptr_t)cache->slow - (uintptr_t)je_tsd_tls;
    if (offset >= TSD_BYTES || cache->slow->cache != cache)
        return false;
    cache_offset = (ptrdiff_t)offset;
    return true;
}

const char *metadata_init(void)
{
    static const size_t sizes[] = {8, 24, 100, 2048, 10000, 50000, 3 << 20};
    const char *reason = ours_refusal();
    if (reason)
        return reason;
    if (!jemalloc_learn_classes())
        return "this jemalloc does not tell its size classes";
    for (unsigned i = 0; i < ARRAY_LENGTH(sizes); i++)
        if (!agrees(sizes[i]))
            return "jemalloc's records are not as expected";
    return learn_cache_offset() ? NULL : "jemalloc's records are not as expected";
}

#else

const char *metadata_enter(struct allocated_thread *threads, unsigned count, allocated_tell *tell,
                           void *ctx)
{
    (void)threads, (void)count, (void)tell, (void)ctx;
    return metadata_init();
}

bool metadata_is_known(void)
{
    return false;
}

void metadata_be_exact(void)
{
}

size_t metadata_block_size(const void *block)
{
    return jep_malloc_usable_size(block);
}

const char *metadata_init(void)
{
    return "this build cannot read its jemalloc's records";
}

#endif
