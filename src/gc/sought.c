#include "gc/sought.h"

#include "base/os.h"
#include "heap/extents.h"

#define PAGES_BYTES (SOUGHT_PAGES * sizeof(struct sought_page))
#define KNOWN_BYTES (SOUGHT_KNOWN * sizeof(uintptr_t))

void sought_prepare(struct sought *sought)
{
    if (!sought->pages)
        sought->pages = own_map(PAGES_BYTES);
    if (!sought->known)
        sought->known = own_map(KNOWN_BYTES);
    sought->page_count = 0;
    sought->many = false;
}

/* Takes known blocks out of the white ones of a page; `next` is the first known one that is not
 * below the page. */
static void leave_out(const struct sought *sought, unsigned next, struct sought_page *entry)
{
    for (; next < sought->known_count && sought->known[next] - entry->page < 4096; next++) {
        uintptr_t block = sought->known[next];
        entry->bits[block >> (GRANULE_SHIFT + 6) & 3] &= ~index_white_bit(block);
    }
}

void sought_gather(struct sought *sought, const struct mark *mark)
{
    const struct heap_index *index = mark->index;
    unsigned next = 0;
    sought->page_count = 0;
    sought->many = !sought->pages || !sought->known;
    for (unsigned i = 0; i < extent_count && !sought->many; i++)
        for (uintptr_t page = extents[i].start; page < extents[i].end; page += 4096) {
            if (mark->page_state[index_number(index, page)] == PAGE_REACHED ||
                !(*index_page(index, page) & 0xff))
                continue;
            const uint64_t *white = index_white(index, page);
            struct sought_page entry = {page, {white[0], white[1], white[2], white[3]}};
            while (next < sought->known_count && sought->known[next] < page)
                next++;
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

static void keep(void *ctx, uintptr_t block, size_t size, bool sampled)
{
    struct sought *sought = ctx;
    (void)size, (void)sampled;
    if (sought->known_count < SOUGHT_KNOWN)
        sought->known[sought->known_count++] = block;
}

void sought_keep(struct sought *sought, const struct heap_index *index)
{
    sought->known_count = 0;
    if (sought->known)
        heap_index_each_white(index, keep, sought);
}
