#include "gc/dirty/remark.h"

#define ROW 256 /* bytes of the object map for one page of heap */

void remark_begin(struct remark *remark, struct mark *mark)
{
    *remark = (struct remark){.mark = mark};
}

void remark_extent(struct remark *remark, struct extent extent)
{
    if (remark->extent.start == extent.start && remark->extent.end == extent.end)
        return;
    remark_end(remark);
    remark->extent = extent;
    remark->searched = extent.start;
    remark->start_found = 0;
}

static void look_at_page(struct remark *remark, uintptr_t page);

/* Looks at what has been gathered. */
static void look_at_gathered(struct remark *remark)
{
    if (remark->start < remark->end)
        mark_from(remark->mark, remark->start, remark->end);
    remark->start = remark->end = 0;
}

void remark_end(struct remark *remark)
{
    for (unsigned i = 0; i < REMARK_AHEAD; i++) {
        uintptr_t *page = &remark->ahead[remark->at++ % REMARK_AHEAD];
        if (*page)
            look_at_page(remark, *page);
        *page = 0;
    }
    look_at_gathered(remark);
}

static void gather(struct remark *remark, uintptr_t start, uintptr_t end)
{
    if (remark->end != start) {
        look_at_gathered(remark);
        remark->start = start;
    }
    remark->end = end;
}

static unsigned class_at(uintptr_t block)
{
    return *(volatile uint8_t *)object_byte((void *)block) & OBJECT_CLASS;
}

/* The part of a live block that lies on the page. */
static void look_at_block(struct remark *remark, uintptr_t page, uintptr_t block, unsigned class)
{
    const struct heap_index *index = remark->mark->index;
    size_t size = object_class_size[class];
    if (class == OBJECT_CLASS_HUGE) /* born since: beside the program the index has none */
        size = (size_t)1 << 40;
    if (block + size <= page)
        return;
    if ((*index_page(index, block) & 0xff) == class &&
        (*index_white(index, block) & index_white_bit(block)))
        return;
    gather(remark, MAX(block, page), MIN(block + size, page + 4096));
}

/* The last start of a block below `page`; 0: none in the extent. */
static uintptr_t start_before(struct remark *remark, uintptr_t page)
{
    if (page < remark->searched) {
        remark->searched = remark->extent.start;
        remark->start_found = 0;
    }
    const uint8_t *least = object_byte((void *)remark->searched);
    for (const uint8_t *at = object_byte((void *)page); at > least;) {
        at -= 64;
        uint64_t found = nonzero_bytes(at);
        if (found) {
            at += 63 - __builtin_clzll(found);
            remark->start_found = (uintptr_t)(at - object_map) << GRANULE_SHIFT;
            break;
        }
    }
    remark->searched = page;
    return remark->start_found;
}

/* No block starts on the page, but one from before may reach onto it. */
static void look_at_rest(struct remark *remark, uintptr_t page)
{
    const struct heap_index *index = remark->mark->index;
    unsigned entry = *index_page(index, page) & 0xff;
    size_t size;
    uintptr_t block = 0;
    /* Known to the index as part of a large block: no search, which may be long. */
    if (entry > index->small && (block = heap_index_large(index, page, &size)) &&
        class_at(block) == entry) {
        look_at_block(remark, page, block, entry);
        return;
    }
    block = start_before(remark, page);
    unsigned class = block ? class_at(block) : 0;
    if (class)
        look_at_block(remark, page, block, class);
}

/* A slab of which these blocks are allocated: bits of granules. */
static void look_at_slab(struct remark *remark, uintptr_t page, const uint64_t live[4],
                         uintptr_t start, unsigned class)
{
    const struct heap_index *index = remark->mark->index;
    const uint64_t *white = index_white(index, page);
    bool indexed = (*index_page(index, page) & 0xff) == class;
    size_t size = object_class_size[class];
    /* Its blocks lie side by side, so the one found tells where all are. */
    uintptr_t first = page + (start - page) % size, before = first - size;
    if (first > page && before >= remark->extent.start && class_at(before))
        look_at_block(remark, page, before, class_at(before));
    for (unsigned i = 0; i < 4; i++)
        for (uint64_t left = live[i] & ~(indexed ? white[i] : 0); left; left &= left - 1) {
            uintptr_t block = page + (uintptr_t)(64 * i + __builtin_ctzll(left)) * 16;
            gather(remark, block, MIN(block + size, page + 4096));
        }
}

static void look_at_page(struct remark *remark, uintptr_t page)
{
    const uint8_t *row = object_byte((void *)page);
    uint64_t live[4];
    uintptr_t start = 0;
    unsigned class = 0;
    for (unsigned i = 0; i < 4; i++)
        live[i] = nonzero_bytes(row + 64 * i);
    /* One that has been freed since its bit was read tells nothing of the others. */
    for (unsigned i = 0; i < 4; i++)
        for (uint64_t left = live[i]; left && !class; left &= left - 1) {
            start = page + (uintptr_t)(64 * i + __builtin_ctzll(left)) * 16;
            class = class_at(start);
        }
    if (!class)
        look_at_rest(remark, page);
    else if (class > object_small_classes)
        look_at_block(remark, page, start, class);
    else
        look_at_slab(remark, page, live, start, class);
}

static void fetch_records(const struct heap_index *index, uintptr_t page)
{
    const uint8_t *row = object_byte((void *)page);
    for (unsigned i = 0; i < ROW; i += 64)
        __builtin_prefetch(row + i);
    __builtin_prefetch(index_page(index, page));
    __builtin_prefetch(index_white(index, page));
}

static void fetch_contents(uintptr_t page)
{
    for (unsigned i = 0; i < 4096; i += 64)
        __builtin_prefetch((const char *)page + i);
}

void remark_armed(void *ctx)
{
    struct remark *remark = ctx;
    remark->searched = remark->extent.start;
    remark->start_found = 0;
}

/* A page is looked at when its records, then its contents, have been fetched: what the program has
 * just written lies in other CPUs' caches. */
void remark_pages(void *ctx, uintptr_t start, uintptr_t end)
{
    struct remark *remark = ctx;
    start = MAX(start, remark->extent.start);
    end = MIN(end, remark->extent.end);
    for (; start < end; start += 4096) {
        remark->bytes += 4096;
        uintptr_t half = remark->ahead[(remark->at + REMARK_AHEAD / 2) % REMARK_AHEAD];
        uintptr_t *slot = &remark->ahead[remark->at++ % REMARK_AHEAD], ripe = *slot;
        fetch_records(remark->mark->index, start);
        if (half)
            fetch_contents(half);
        *slot = start;
        if (ripe)
            look_at_page(remark, ripe);
    }
}

/* Unreached blocks of one word of white bits. */
static void check_white(struct mark *mark, uintptr_t base, uint64_t white, unsigned class)
{
    for (; white; white &= white - 1) {
        uintptr_t block = base + (uintptr_t)__builtin_ctzll(white) * 16;
        unsigned now = class_at(block);
        if (now != class && mark_reach(mark, block) && now)
            mark_from(mark, block, block + MIN(object_class_size[class], object_class_size[now]));
    }
}

void remark_map(void *ctx, uintptr_t start, uintptr_t end)
{
    struct mark *mark = ctx;
    const struct heap_index *index = mark->index;
    uintptr_t page = (start - (uintptr_t)object_map) << GRANULE_SHIFT;
    uintptr_t last = (end - (uintptr_t)object_map) << GRANULE_SHIFT;
    for (; page < last; page += 4096) {
        unsigned class = *index_page(index, page) & 0xff;
        if (!class)
            continue;
        const uint64_t *white = index_white(index, page);
        for (unsigned i = 0; i < 4; i++)
            if (white[i])
                check_white(mark, page + (uintptr_t)i * 1024, white[i], class);
    }
}
