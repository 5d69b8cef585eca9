#include "gc/sought.h"

#include "base/os.h"
#include "heap/extents.h"

#define PAGES_BYTES (SOUGHT_PAGES * sizeof(struct sought_page))
#define LOST_BYTES (SOUGHT_LOST * sizeof(uintptr_t))
#define KNOWN ((uintptr_t)1)

void sought_prepare(struct sought *sought)
{
    if (!sought->pages)
        sought->pages = own_map(PAGES_BYTES);
    if (!sought->lost)
        sought->lost = own_map(LOST_BYTES);
    if (!sought->other)
        sought->other = own_map(LOST_BYTES);
    sought->page_count = 0;
    sought->many = false;
}

/* Takes known blocks out of the white ones of a page; `next` is the first on the list that is not
 * below the page. */
static void leave_out(const struct sought *sought, unsigned next, struct sought_page *entry)
{
    for (; next < sought->lost_count && sought->lost[next] - entry->page < 4096; next++) {
        uintptr_t block = sought->lost[next];
        if (block & KNOWN)
            entry->bits[block >> (GRANULE_SHIFT + 6) & 3] &= ~index_white_bit(block);
    }
}

void sought_gather(struct sought *sought, const struct mark *mark)
{
    const struct heap_index *index = mark->index;
    const bool trusts = sought->trusted < SOUGHT_TRUST;
    unsigned next = 0;
    sought->page_count = 0;
    sought->many = !sought->pages || !sought->lost || !sought->other;
    for (unsigned i = 0; i < extent_count && !sought->many; i++)
        for (uintptr_t page = extents[i].start; page < extents[i].end; page += 4096) {
            if (mark->page_state[index_number(index, page)] == PAGE_REACHED ||
                !(*index_page(index, page) & 0xff))
                continue;
            const uint64_t *white = index_white(index, page);
            struct sought_page entry = {page, {white[0], white[1], white[2], white[3]}};
            while (next < sought->lost_count && sought->lost[next] < page)
                next++;
            if (trusts)
                leave_out(sought, next, &entry);
            if (!(entry.bits[0] | entry.bits[1] | entry.bits[2] | entry.bits[3]))
                continue;
            if (sought->page_count == SOUGHT_PAGES) {
                sought->many = true;
                break;
            }
            sought->pages[sought->page_count++] = entry;
        }
}

bool sought_any(struct sought *sought, const struct heap_index *index)
{
    for (; !sought->many && sought->page_count; sought->page_count--) {
        const struct sought_page *last = &sought->pages[sought->page_count - 1];
        const uint64_t *white = index_white(index, last->page);
        for (unsigned i = 0; i < 4; i++)
            if (white[i] & last->bits[i])
                return true;
    }
    return sought->many;
}

struct keep {
    struct sought *sought;
    unsigned count, next; /* of the new list; on the old one */
};

static void keep_block(void *ctx, uintptr_t block, size_t size, bool sampled)
{
    struct keep *keep = ctx;
    const struct sought *sought = keep->sought;
    (void)size, (void)sampled;
    while (keep->next < sought->lost_count && (sought->lost[keep->next] & ~KNOWN) < block)
        keep->next++;
    bool before = keep->next < sought->lost_count && (sought->lost[keep->next] & ~KNOWN) == block;
    if (keep->count < SOUGHT_LOST)
        sought->other[keep->count++] = block | (before ? KNOWN : 0);
}

void sought_keep(struct sought *sought, const struct heap_index *index, bool full)
{
    struct keep keep = {sought, 0, 0};
    if (!sought->lost || !sought->other)
        return;
    heap_index_each_white(index, keep_block, &keep);
    uintptr_t *old = sought->lost;
    sought->lost = sought->other;
    sought->other = old;
    sought->lost_count = keep.count;
    sought->trusted = full ? 0 : sought->trusted + 1;
}

void sought_forget(struct sought *sought)
{
    sought->lost_count = 0;
}
