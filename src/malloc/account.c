#include "malloc/account.h"

#include "base/compiler.h"
#include "base/fmt.h"
#include "base/os.h"
#include "heap/extents.h"
#include "malloc/arena.h"
#include "malloc/bases.h"
#include "malloc/jemalloc.h"
#include "malloc/stats.h"
#include "segment/segment.h"

#include <string.h>

#define EXTENTS_KEPT 2048u /* jemalloc keeps what it maps, so there are tens */

/* jemalloc's own (arena.h): it reads atomics alone. */
void je_arena_basic_stats_merge(jemalloc_tsdn *tsdn, jemalloc_arena *arena, unsigned *threads,
                                const char **dss, ssize_t *dirty_decay_ms, ssize_t *muzzy_decay_ms,
                                size_t *active, size_t *dirty, size_t *muzzy);

/* One reading at a time: atomic, claimed by exchange. */
static bool reading;
/* Of that one. */
static struct md_range ranges[EXTENTS_KEPT + BASES_MAX];
static unsigned range_count;
static bool ranges_whole;
static unsigned arena_count;
static bool is_program[BASES_MAX]; /* by arena */

void account_postfork_child(void)
{
    reading = false;
}

static void add_range(uintptr_t start, uintptr_t limit, enum md_range_kind kind)
{
    if (range_count == ARRAY_LENGTH(ranges)) {
        ranges_whole = false;
        return;
    }
    ranges[range_count++] = (struct md_range){start, limit, kind};
}

static uint64_t arena_value(unsigned arena, const char *what)
{
    char name[64];
    struct fmt f = fmt_on(name, sizeof name);
    fmt_text(&f, "stats.arenas.");
    fmt_u64(&f, arena);
    fmt_text(&f, what);
    return stats_value(name);
}

/* Of the pages for sampled blocks jemalloc counts more than what is touched (plain.c). */
static void read_arenas_locked(struct md_allocator *to)
{
    memset(is_program, 0, sizeof is_program);
    arena_count = bases_count_locked();
    for (unsigned i = 0; i < arena_count; i++) {
        jemalloc_arena *arena = __atomic_load_n(&je_arenas[i], __ATOMIC_ACQUIRE);
        const jemalloc_base *base = bases_at_locked(i);
        if (!base)
            continue;
        for (const struct jemalloc_base_block *b = bases_blocks(base); b; b = b->next)
            add_range((uintptr_t)b, (uintptr_t)b + b->size, MD_RANGE_METADATA);
        if (!arena)
            continue;
        enum arena_use use = arena_used_for(i);
        unsigned threads = 0;
        const char *dss;
        ssize_t dirty_decay_ms, muzzy_decay_ms;
        size_t active = 0, dirty = 0, muzzy = 0;
        je_arena_basic_stats_merge(NULL, arena, &threads, &dss, &dirty_decay_ms, &muzzy_decay_ms,
                                   &active, &dirty, &muzzy);
        if (use == ARENA_OF_SAMPLES) {
            to->sampled_dirty_bytes += dirty * JEMALLOC_PAGE;
            continue;
        }
        to->dirty_bytes += dirty * JEMALLOC_PAGE;
        to->muzzy_bytes += muzzy * JEMALLOC_PAGE;
        if (use == ARENA_OF_OURS) {
            to->own_bytes += active * JEMALLOC_PAGE;
            continue;
        }
        to->active_bytes += active * JEMALLOC_PAGE;
        is_program[i] = true;
    }
}

/* By what jemalloc has added up.  Not with the bases held: it waits for jemalloc's locks. */
static void read_blocks(struct md_allocator *to)
{
    stats_refresh();
    for (unsigned i = 0; i < arena_count; i++) {
        if (!is_program[i])
            continue;
        to->allocated_bytes +=
            arena_value(i, ".small.allocated") + arena_value(i, ".large.allocated");
        to->cached_bytes += arena_value(i, ".tcache_bytes");
    }
}

static void read_ranges(void)
{
    static struct extent copied[EXTENTS_KEPT];
    static struct own_range ours[EXTENTS_KEPT];
    unsigned count = extents_copy(copied, ARRAY_LENGTH(copied));
    ranges_whole = ranges_whole && count <= ARRAY_LENGTH(copied);
    for (unsigned i = 0; ranges_whole && i < count; i++)
        add_range(copied[i].start, copied[i].end, MD_RANGE_HEAP);
    count = own_ranges(ours, ARRAY_LENGTH(ours));
    ranges_whole = ranges_whole && count <= ARRAY_LENGTH(ours);
    for (unsigned i = 0; ranges_whole && i < count; i++)
        add_range(ours[i].start, ours[i].start + ours[i].size, MD_RANGE_OWN);
}

static void store(const struct md_allocator *fresh)
{
    segment_hold(true);
    struct md_allocator *to = &segment_header()->allocator;
    uint32_t seq = to->seq | 1;
    __atomic_store_n(&to->seq, seq, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    bool room = ranges_whole && segment_grow(MD_SECTION_RANGES, range_count);
    uint64_t old = segment_count(MD_SECTION_RANGES);
    struct md_range *table = segment_table(MD_SECTION_RANGES);
    if (room) {
        memcpy(table, ranges, range_count * sizeof *table);
        for (uint64_t i = range_count; i < old; i++)
            table[i].kind = MD_RANGE_NONE;
        if (old < range_count)
            segment_set_count(MD_SECTION_RANGES, range_count);
    }
    memcpy((char *)to + sizeof to->seq, (const char *)fresh + sizeof to->seq,
           sizeof *to - sizeof to->seq);
    to->flags |= room ? MD_ALLOCATOR_RANGES : 0;
    __atomic_store_n(&to->seq, seq + 1, __ATOMIC_RELEASE);
    segment_hold(false);
}

void account_write(bool own)
{
    struct md_allocator fresh = {.flags = own ? MD_ALLOCATOR_BLOCKS : 0};
    if (__atomic_exchange_n(&reading, true, __ATOMIC_ACQUIRE))
        return;
    range_count = 0;
    ranges_whole = true;
    fresh.read_ns = (uint64_t)os_now_ns();
    bases_hold(true);
    read_arenas_locked(&fresh);
    bases_hold(false);
    if (own)
        read_blocks(&fresh);
    read_ranges();
    store(&fresh);
    __atomic_store_n(&reading, false, __ATOMIC_RELEASE);
}
