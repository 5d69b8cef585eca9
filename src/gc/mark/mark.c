#include "gc/mark/mark.h"

#include "base/os.h"
#include "gc/mark/mark_check.h"
#include "gc/mark/mark_team.h"
#include "gc/mark/marker.h"
#include "gc/sys/fault.h"
#include "heap/extents.h"

#define PATIENCE_NS 2000000

static size_t state_bytes(const struct heap_index *index)
{
    return (size_t)index->regions << INDEX_PAGES_SHIFT;
}

bool mark_init(struct mark *mark, struct heap_index *index, size_t range_limit)
{
    size_t heap = 0;
    for (unsigned i = 0; i < extent_count; i++)
        heap += extents[i].end - extents[i].start;
    *mark = (struct mark){
        .index = index, .helpers = MARK_MAX - 1, .markers = 1, .patience_ns = PATIENCE_NS};
    mark->code = mark_code_of_cpu();
    /* A page is queued once; one more may be in the hands of each marker. */
    for (mark->page_limit = 4096; mark->page_limit < heap / 4096 + 4096;)
        mark->page_limit *= 2;
    /* A range is a block of more than a chunk, or a piece. */
    mark->range_limit = MIN(range_limit, heap / MARK_CHUNK + 4096) + 1;
    mark->page_state = mark_map_table(state_bytes(index));
    mark->marker = marker_new(mark);
    if (mark->page_state && mark->marker)
        return true;
    mark_free(mark);
    return false;
}

bool mark_free(struct mark *mark)
{
    if (!team_free(mark))
        return false;
    marker_free(mark->marker);
    if (mark->page_state)
        mark_unmap_table(mark->page_state, state_bytes(mark->index));
    *mark = (struct mark){0};
    return true;
}

void mark_postfork_child(struct mark *mark)
{
    team_postfork_child(mark);
}

bool mark_reach(struct mark *mark, uintptr_t block)
{
    if (mark->visit)
        return mark->visit->reached(mark->visit, block);
    if (mark->check)
        mark_check_reach(mark->check, block);
    uint64_t *white = index_white(mark->index, block), bit = index_white_bit(block);
    bool was_white = *white & bit;
    *white &= ~bit;
    return was_white;
}

/* ---- all of it ---- */

static void reach_all(struct mark *mark)
{
    struct marker *marker = mark->marker;
    while (!team_mark(marker))
        if (!team_start(mark))
            mark->helpers = 0; /* not asked again in this cycle */
    if (marker->alone)
        return;
    while (team_take(marker))
        team_mark(marker);
    team_end(mark);
}

void mark_from(struct mark *mark, uintptr_t start, uintptr_t end)
{
    start = (start + 7) & ~(uintptr_t)7;
    end &= ~(uintptr_t)7;
    if (mark->visit) {
        mark->visit->words(mark->visit, start, end);
        return;
    }
    if (mark->check)
        mark_check_words(mark->check, start, end);
    /* What is long waits, for whoever has time. */
    for (; start < end && end - start > MARK_SPARSE_BYTES; start += MARK_SPARSE_BYTES / 2) {
        if (mark->marker->range_count == mark->marker->range_limit)
            break;
        marker_push_range(mark->marker, start, start + MARK_SPARSE_BYTES / 2);
    }
    if (start < end)
        mark->marker->code->look_at_words(mark->marker, start, end);
}

bool mark_none_between(const struct mark *mark, uintptr_t lo, uintptr_t span, uintptr_t start,
                       uintptr_t end)
{
    /* What faults reads as 0, and is counted; of a page that is gone one fault is enough. */
    uint32_t faults = fault_count;
    return fault_readable((const uintptr_t *)start) &&
           mark->marker->code->none_between(lo, span, start, end) && fault_count == faults;
}

/* Looks again into every block reached so far: words that point at white blocks were dropped. */
static void look_again(struct mark *mark)
{
    struct heap_index *index = mark->index;
    for (unsigned i = 0; i < extent_count; i++)
        for (uintptr_t page = extents[i].start; page < extents[i].end; page += 4096) {
            size_t number = index_number(index, page);
            unsigned class = index->page[number] & 0xff;
            uint64_t *white = &index->white[number * INDEX_PAGE_WORDS];
            const uint8_t *row = object_byte((void *)page);
            bool any = false;
            if (class == 0)
                continue;
            for (unsigned granule = 0; granule < 256; granule++) {
                uintptr_t block = page + (uintptr_t)granule * 16;
                uint64_t bit = index_white_bit(block);
                size_t size = 0;
                if (row[granule] == 0 || (white[granule / 64] & bit) ||
                    heap_index_resolve(index, block, &size) != block)
                    continue;
                if (class > index->small) {
                    marker_push_range(mark->marker, block, block + size);
                    continue;
                }
                white[granule / 64 + INDEX_GREY] |= bit;
                any = true;
            }
            /* Nothing waits now; what says otherwise was dropped.  That nothing is unreached on the
             * page is forgotten, which costs time only. */
            mark->page_state[number] = any ? PAGE_QUEUED : 0;
            if (any)
                marker_push_page(mark->marker, page);
            reach_all(mark);
        }
}

void mark_finish(struct mark *mark)
{
    reach_all(mark);
    while (mark->overflowed) {
        mark->overflowed = false;
        mark->again++;
        look_again(mark);
    }
}

static void note_extent(struct mark *mark, struct extent extent)
{
    const struct heap_index *index = mark->index;
    uintptr_t white_end = 0; /* of the last unreached block, which may reach over pages */
    for (uintptr_t page = extent.start; page < extent.end; page += 4096) {
        size_t number = index_number(index, page);
        unsigned class = index->page[number] & 0xff, last = 4;
        if (!class) /* what points there is dropped as it is */
            continue;
        const uint64_t *white = &index->white[number * INDEX_PAGE_WORDS];
        while (last && !white[last - 1])
            last--;
        if (last) {
            unsigned granule = 64 * last - 1 - (unsigned)__builtin_clzll(white[last - 1]);
            uintptr_t end = page + (uintptr_t)granule * 16 + index->size[class];
            white_end = MAX(white_end, class == OBJECT_CLASS_HUGE ? extent.end : end);
        } else if (white_end <= page) {
            mark->page_state[number] = PAGE_REACHED;
        }
    }
}

void mark_note_reached(struct mark *mark)
{
    for (unsigned i = 0; i < extent_count; i++)
        note_extent(mark, extents[i]);
    mark->noted = true;
}
