#include "view/rss.h"

#include <string.h>

const struct rss_part_name rss_part_names[RSS_PARTS] = {
#define RSS_PART(name, text, help) {#name, text, help},
    RSS_PARTS_LIST(RSS_PART)
#undef RSS_PART
};

/* A block up to that size lies, when it is sampled, alone on pages that nothing else is on (the
 * plain variant): jemalloc's smallest large class. */
#define SAMPLED_ALONE_PAGES 4u

/* An arena fills one slab of each size, up to 676 KiB in all, of which as a rule half has not been
 * touched yet. */
#define FRESH_SLABS_BYTES (INT64_C(338) << 10)

/* Of such blocks: their bytes, and those of the pages. */
struct sampled {
    int64_t used, pages;
};

static struct sampled sampled_alone(const struct snapshot *snap)
{
    struct sampled sum = {0, 0};
    uint64_t page = snap->header.page_size;
    if (snap->header.flags & MD_FLAG_TRACKED || !page)
        return sum;
    for (size_t i = 0; i < snap->sample_count; i++) {
        const struct md_sample *sample = &snap->samples[i];
        uint64_t size = sample->bucket < snap->bucket_count ? snap->buckets[sample->bucket].key : 0;
        if (size == 0 || size > SAMPLED_ALONE_PAGES * page)
            continue;
        sum.used += (int64_t)size;
        sum.pages += (int64_t)((size + page - 1) / page * page);
    }
    return sum;
}

/* A figure of the segment, which anybody may have written: sums of these do not overflow. */
static int64_t figure(uint64_t bytes)
{
    return bytes < UINT64_C(1) << 56 ? (int64_t)bytes : 0;
}

static int64_t at_least_0(int64_t value)
{
    return value > 0 ? value : 0;
}

/* Memory that nobody has touched, as a rule of a large block. */
static void take_off(int64_t *part, int64_t *excess)
{
    int64_t bytes = *excess < *part ? *excess : *part;
    *part -= bytes;
    *excess -= bytes;
}

static void know(struct rss_parts *parts, enum rss_part part)
{
    parts->known |= 1u << part;
}

/* Within the heap's resident bytes.  What is more of them than is counted lies on the free pages of
 * sampled blocks, as far as those go; of what is less the program has not touched some. */
static void divide_heap(struct rss_parts *parts, int64_t resident, const struct snapshot *snap)
{
    const struct md_counters *counters = &snap->header.counters;
    const struct md_allocator *a = &snap->header.allocator;
    struct sampled sampled = sampled_alone(snap);
    int64_t active = figure(a->active_bytes), allocated = figure(a->allocated_bytes),
            cached = figure(a->cached_bytes);
    parts->in_use = figure(counters->alloc_bytes - counters->free_bytes);
    know(parts, RSS_in_use);
    if (a->read_ns) {
        if (a->flags & MD_ALLOCATOR_BLOCKS) {
            parts->in_use = at_least_0(allocated - cached) + sampled.used;
            parts->thread_caches = cached;
            parts->slab_slack = at_least_0(active - allocated);
            know(parts, RSS_thread_caches);
        } else {
            parts->slab_slack = at_least_0(active - (parts->in_use - sampled.used));
        }
        parts->dirty = figure(a->dirty_bytes);
        parts->muzzy = figure(a->muzzy_bytes);
        know(parts, RSS_slab_slack);
        know(parts, RSS_dirty);
        know(parts, RSS_muzzy);
    }
    int64_t ours =
        rss_knows(parts, RSS_own) ? figure(a->own_bytes) + sampled.pages - sampled.used : 0;
    int64_t excess = parts->in_use + parts->slab_slack + parts->thread_caches + parts->dirty +
                     parts->muzzy + ours - resident;
    if (excess < 0) {
        int64_t more = figure(a->sampled_dirty_bytes);
        parts->dirty += more < -excess ? more : -excess;
    } else {
        int64_t fresh = excess < FRESH_SLABS_BYTES ? excess : FRESH_SLABS_BYTES, rest = fresh;
        take_off(&parts->slab_slack, &rest);
        excess -= fresh - rest;
        take_off(&parts->in_use, &excess);
        take_off(&parts->dirty, &excess);
        take_off(&parts->slab_slack, &excess);
        take_off(&ours, &excess);
    }
    parts->own += ours;
}

void rss_parts_make(struct rss_parts *parts, const struct rss_kernel *kernel,
                    const struct snapshot *snap)
{
    bool ranges = snap->header.allocator.flags & MD_ALLOCATOR_RANGES;
    *parts = (struct rss_parts){.rss = kernel->rss, .taken_ns = kernel->taken_ns};
    parts->stacks = kernel->by[RSS_BY_STACKS];
    parts->anonymous = kernel->by[RSS_BY_ANONYMOUS];
    parts->files = kernel->by[RSS_BY_FILES];
    parts->shared = kernel->by[RSS_BY_SHARED];
    parts->metadata = kernel->by[RSS_BY_METADATA];
    parts->own = kernel->by[RSS_BY_OWN];
    know(parts, RSS_stacks);
    know(parts, RSS_anonymous);
    know(parts, RSS_files);
    know(parts, RSS_shared);
    if (ranges) {
        know(parts, RSS_metadata);
        know(parts, RSS_own);
    }
    divide_heap(parts, ranges ? kernel->by[RSS_BY_HEAP] : kernel->by[RSS_BY_NOBODY], snap);
    know(parts, RSS_unexplained);
    parts->unexplained = parts->rss;
    for (int part = 0; part < RSS_unexplained; part++)
        parts->unexplained -= rss_part_bytes(parts, (enum rss_part)part);
}
