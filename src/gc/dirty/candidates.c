#include "gc/dirty/candidates.h"

#include "base/os.h"
#include "heap/extents.h"

#define PAGES_BYTES (CANDIDATE_PAGES * sizeof(struct candidate_page))
#define LOST_BYTES (CANDIDATES_LOST * sizeof(uintptr_t))
#define KNOWN ((uintptr_t)1)

void candidates_prepare(struct candidates *set)
{
    if (!set->pages)
        set->pages = own_map(PAGES_BYTES);
    if (!set->lost)
        set->lost = own_map(LOST_BYTES);
    if (!set->other)
        set->other = own_map(LOST_BYTES);
    set->page_count = 0;
    set->many = false;
}

/* Takes known blocks out of the white ones of a page; `next` is the first on the list that is not
 * below the page. */
static void leave_out(const struct candidates *set, unsigned next, struct candidate_page *entry)
{
    for (; next < set->lost_count && set->lost[next] - entry->page < 4096; next++) {
        uintptr_t block = set->lost[next];
        if (block & KNOWN)
            entry->bits[block >> (GRANULE_SHIFT + 6) & 3] &= ~index_white_bit(block);
    }
}

void candidates_gather(struct candidates *set, const struct mark *mark)
{
    const struct heap_index *index = mark->index;
    const bool trusts = set->trusted < CANDIDATES_TRUST;
    unsigned next = 0;
    set->page_count = 0;
    set->many = !set->pages || !set->lost || !set->other;
    for (unsigned i = 0; i < extent_count && !set->many; i++)
        for (uintptr_t page = extents[i].start; page < extents[i].end; page += 4096) {
            if (mark->page_state[index_number(index, page)] == PAGE_REACHED ||
                !(*index_page(index, page) & 0xff))
                continue;
            const uint64_t *white = index_white(index, page);
            struct candidate_page entry = {page, {white[0], white[1], white[2], white[3]}};
            while (next < set->lost_count && set->lost[next] < page)
                next++;
            if (trusts)
                leave_out(set, next, &entry);
            if (!(entry.bits[0] | entry.bits[1] | entry.bits[2] | entry.bits[3]))
                continue;
            if (set->page_count == CANDIDATE_PAGES) {
                set->many = true;
                break;
            }
            set->pages[set->page_count++] = entry;
        }
}

bool candidates_any(struct candidates *set, const struct heap_index *index)
{
    for (; !set->many && set->page_count; set->page_count--) {
        const struct candidate_page *last = &set->pages[set->page_count - 1];
        const uint64_t *white = index_white(index, last->page);
        for (unsigned i = 0; i < 4; i++)
            if (white[i] & last->bits[i])
                return true;
    }
    return set->many;
}

struct keep {
    struct candidates *set;
    unsigned count, next; /* of the new list; on the old one */
};

static void keep_block(void *ctx, uintptr_t block, size_t size, bool sampled)
{
    struct keep *keep = ctx;
    const struct candidates *set = keep->set;
    (void)size, (void)sampled;
    while (keep->next < set->lost_count && (set->lost[keep->next] & ~KNOWN) < block)
        keep->next++;
    bool before = keep->next < set->lost_count && (set->lost[keep->next] & ~KNOWN) == block;
    if (keep->count < CANDIDATES_LOST)
        set->other[keep->count++] = block | (before ? KNOWN : 0);
}

void candidates_keep(struct candidates *set, const struct heap_index *index, bool full)
{
    struct keep keep = {set, 0, 0};
    if (!set->lost || !set->other)
        return;
    heap_index_each_white(index, keep_block, &keep);
    uintptr_t *old = set->lost;
    set->lost = set->other;
    set->other = old;
    set->lost_count = keep.count;
    set->trusted = full ? 0 : set->trusted + 1;
}

void candidates_forget(struct candidates *set)
{
    set->lost_count = 0;
}
