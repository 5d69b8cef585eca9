#include "gc/mark.h"

#include "base/os.h"
#include "gc/fault.h"
#include "gc/pages.h"
#include "heap/extents.h"

#include <sys/mman.h>

#define RING 16u /* entries of each ring, a power of two; 8 is measurably slower, 32 no faster */
/* Large blocks from this size on may be sparse: only pages with contents are looked at. */
#define SPARSE_BYTES ((size_t)256 << 10)

struct reached {
    uintptr_t start;
    size_t size;
};

static void *map_stack(size_t *bytes, size_t least)
{
    for (; *bytes >= least; *bytes /= 2) {
        *bytes = (*bytes + 4095) & ~(size_t)4095;
        void *stack = mmap(NULL, *bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (stack != MAP_FAILED) {
            own_note(stack, *bytes, 0);
            return stack;
        }
    }
    return NULL;
}

bool mark_init(struct mark *mark, struct heap_index *index, size_t edge_limit)
{
    /* One block is scanned without a look at the limit, hence twice a chunk at least. */
    const size_t least = 2 * MARK_CHUNK;
    size_t bytes = MAX(edge_limit * sizeof *mark->edges, least);
    *mark = (struct mark){.index = index};
    mark->edges = map_stack(&bytes, least);
    mark->edge_limit = bytes / sizeof *mark->edges;
    /* A range is a block of more than a chunk, and no block is in it twice. */
    size_t heap = 0;
    for (unsigned i = 0; i < extent_count; i++)
        heap += extents[i].end - extents[i].start;
    size_t range_bytes = (heap / MARK_CHUNK * sizeof *mark->ranges + 8191) & ~(size_t)4095;
    mark->ranges = map_stack(&range_bytes, 4096);
    mark->range_limit = range_bytes / sizeof *mark->ranges;
    return mark->edges && mark->ranges;
}

bool mark_reach(struct mark *mark, uintptr_t block)
{
    uint64_t *word = index_white(mark->index, block);
    uint64_t bit = index_white_bit(block);
    if (!(*word & bit))
        return false;
    *word &= ~bit;
    return true;
}

/* Pushes the words of [start, end) that may be pointers.  Without branches: their density does not
 * matter.  Returns the new top; writes one entry behind it. */
static ALWAYS_INLINE NO_SANITIZE uintptr_t *push_words(uintptr_t start, uintptr_t end, uintptr_t lo,
                                                       uintptr_t span, uintptr_t *top)
{
    for (const uintptr_t *at = (const uintptr_t *)start; at < (const uintptr_t *)end; at++) {
        uintptr_t word = fault_load(at);
        *top = word;
        top += word - lo < span;
    }
    return top;
}

static COLD void push_range(struct mark *mark, uintptr_t start, uintptr_t end)
{
    if (mark->range_count == mark->range_limit)
        mark->overflowed = true;
    else
        mark->ranges[mark->range_count++] = (struct mark_range){start, end};
}

/* Follows the edges on the stack until there are none. */
static HOT NOINLINE void drain_edges(struct mark *mark)
{
    struct heap_index *index = mark->index;
    const uintptr_t lo = index->lo, span = index->span;
    uintptr_t *const base = mark->edges;
    uintptr_t *const limit = base + mark->edge_limit - MARK_CHUNK / sizeof(uintptr_t) - 1;
    uintptr_t *top = base + mark->edge_count;
    uintptr_t incoming[RING] = {0};
    struct reached outgoing[RING] = {{0, 0}};
    unsigned in = 0, out = 0;
    unsigned in_flight = 0; /* entries of both rings in use */

    while (top > base || in_flight) {
        /* 1: take an edge, fetch the index entries of its target */
        uintptr_t fresh = 0;
        if (LIKELY(top > base)) {
            fresh = *--top;
            __builtin_prefetch(index_page(index, fresh));
            __builtin_prefetch(index_white(index, fresh), 1);
            in_flight++;
        }
        uintptr_t word = incoming[in % RING];
        incoming[in++ % RING] = fresh;

        /* 2: resolve an earlier one; if it reaches a block for the first time, fetch the block */
        struct reached next = {0, 0};
        if (word) {
            in_flight--;
            size_t size;
            uintptr_t block = heap_index_resolve(index, word, &size);
            if (block) {
                uint64_t *white = index_white(index, block);
                uint64_t bit = index_white_bit(block);
                if (*white & bit) {
                    *white &= ~bit;
                    __builtin_prefetch((void *)block);
                    if (size > 64)
                        __builtin_prefetch((void *)(block + 64));
                    next = (struct reached){block, size};
                    in_flight++;
                }
            }
        }
        if (!next.start && top > base)
            continue;

        /* 3: look into a block reached earlier */
        struct reached now = outgoing[out % RING];
        outgoing[out++ % RING] = next;
        if (!now.start)
            continue;
        in_flight--;
        if (UNLIKELY(now.size > MARK_CHUNK))
            push_range(mark, now.start, now.start + now.size);
        else if (UNLIKELY(top >= limit))
            mark->overflowed = true;
        else
            top = push_words(now.start, now.start + now.size, lo, span, top);
    }
    mark->edge_count = 0;
}

static void scan_range(struct mark *mark, uintptr_t start, uintptr_t end)
{
    for (; start < end; start += MARK_CHUNK) {
        /* In place, memory may go or lose its access while it is looked at: one fault for a page of
         * it, not one for each word. */
        for (uint32_t faults = fault_count; start < end; faults = fault_count) {
            fault_load((const uintptr_t *)start);
            if (LIKELY(faults == fault_count))
                break;
            start = (start & ~(uintptr_t)4095) + 4096;
        }
        if (start >= end)
            break;
        uintptr_t *top = push_words(start, MIN(start + MARK_CHUNK, end), mark->index->lo,
                                    mark->index->span, mark->edges);
        mark->edge_count = (size_t)(top - mark->edges);
        drain_edges(mark);
    }
}

static void scan_written(void *ctx, uintptr_t start, uintptr_t end)
{
    struct mark *mark = ctx;
    scan_range(mark, start, end);
}

static void drain(struct mark *mark)
{
    while (mark->range_count) {
        struct mark_range range = mark->ranges[--mark->range_count];
        uintptr_t first_page = (range.start + 4095) & ~(uintptr_t)4095;
        uintptr_t last_page = range.end & ~(uintptr_t)4095;
        if (range.end - range.start < SPARSE_BYTES) {
            scan_range(mark, range.start, range.end);
            continue;
        }
        scan_range(mark, range.start, first_page);
        pages_each_written(first_page, last_page, scan_written, mark);
        scan_range(mark, last_page, range.end);
    }
}

void mark_from(struct mark *mark, uintptr_t start, uintptr_t end)
{
    start = (start + 7) & ~(uintptr_t)7;
    end &= ~(uintptr_t)7;
    scan_range(mark, start, end);
    drain(mark);
}

/* Looks again into every block reached so far: words that point at white blocks were dropped. */
static void rescan(struct mark *mark)
{
    struct heap_index *index = mark->index;
    for (unsigned i = 0; i < extent_count; i++)
        for (uintptr_t page = extents[i].start; page < extents[i].end; page += 4096) {
            if ((*index_page(index, page) & 0xff) == 0)
                continue;
            const uint8_t *row = object_byte((void *)page);
            for (unsigned granule = 0; granule < 256; granule++) {
                uintptr_t block = page + (uintptr_t)granule * 16;
                size_t size = 0;
                if (row[granule] == 0 || (*index_white(index, block) & index_white_bit(block)) ||
                    heap_index_resolve(index, block, &size) != block)
                    continue;
                push_range(mark, block, block + size);
                drain(mark);
            }
        }
}

void mark_finish(struct mark *mark)
{
    while (mark->overflowed) {
        mark->overflowed = false;
        rescan(mark);
    }
}

static void unmap_stack(void *stack, size_t bytes)
{
    if (!stack)
        return;
    own_forget(stack, bytes);
    munmap(stack, bytes);
}

void mark_free(struct mark *mark)
{
    unmap_stack(mark->edges, mark->edge_limit * sizeof *mark->edges);
    unmap_stack(mark->ranges, mark->range_limit * sizeof *mark->ranges);
    *mark = (struct mark){0};
}
