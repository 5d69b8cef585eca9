#include "gc/mark.h"

#include "base/os.h"
#include "gc/fault.h"
#include "gc/mark_check.h"
#include "gc/mark_team.h"
#include "gc/marker.h"
#include "gc/mark_words.h"
#include "gc/pages.h"
#include "gc/raw.h"
#include "heap/extents.h"

#include <sys/mman.h>

/* Edges between the fetch of what the index says and its use; the second where that is mostly at
 * hand. */
#define DISTANCE 12u
#define NEAR_DISTANCE 4u
#define LOCAL 128 /* of 256: a page's blocks are mostly reached from the page itself */
/* Large blocks from this size on may be sparse: only pages with contents are looked at. */
#define SPARSE_BYTES ((size_t)256 << 10)
/* Of a large block at one time; what is left may go to another marker. */
#define PIECE_BYTES ((size_t)1 << 20)
#define CHUNK_WORK 16u /* a chunk counts for as many pages */
/* Pages looked at alone before it is worth while to start helpers, and between looks at the clock.
 */
#define HELP_AFTER 512u
#define HELP_BACKLOG 16u
#define CLOCK_EVERY 256u
#define PATIENCE_NS 2000000

#define SIGN (UINT64_C(1) << 63)

static void *map_table(size_t size)
{
    void *table = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (table == MAP_FAILED)
        return NULL;
    own_note(table, size, 0);
    return table;
}

static void unmap_table(void *table, size_t size)
{
    if (!table)
        return;
    own_forget(table, size);
    munmap(table, size);
}

static size_t whole_pages(size_t bytes)
{
    return (bytes + 4095) & ~(size_t)4095;
}

struct marker *marker_new(struct mark *mark)
{
    struct marker *marker = own_map(whole_pages(sizeof *marker));
    if (!marker)
        return NULL;
    marker->mark = mark;
    marker->page_mask = mark->page_limit - 1;
    marker->range_limit = mark->range_limit;
    marker->alone = true;
    marker->wide = __builtin_cpu_supports("avx2");
    for (int i = 0; i < 4; i++) { /* compared as signed numbers */
        marker->lo4[i] = mark->index->lo ^ SIGN;
        marker->span4[i] = mark->index->span ^ SIGN;
    }
    marker->pages = map_table(mark->page_limit * sizeof *marker->pages);
    marker->ranges = map_table(whole_pages(mark->range_limit * sizeof *marker->ranges));
    if (!marker->pages || !marker->ranges) {
        marker_free(marker);
        return NULL;
    }
    return marker;
}

void marker_free(struct marker *marker)
{
    if (!marker)
        return;
    unmap_table(marker->pages, (marker->page_mask + 1) * sizeof *marker->pages);
    unmap_table(marker->ranges, whole_pages(marker->range_limit * sizeof *marker->ranges));
    own_unmap(marker, whole_pages(sizeof *marker));
}

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
        .index = index, .helpers = MARK_MOST - 1, .markers = 1, .patience_ns = PATIENCE_NS};
    /* A page is queued once; one more may be in the hands of each marker. */
    for (mark->page_limit = 4096; mark->page_limit < heap / 4096 + 4096;)
        mark->page_limit *= 2;
    /* A range is a block of more than a chunk, or a piece. */
    mark->range_limit = MIN(range_limit, heap / MARK_CHUNK + 4096) + 1;
    mark->page_state = map_table(state_bytes(index));
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
        unmap_table(mark->page_state, state_bytes(mark->index));
    *mark = (struct mark){0};
    return true;
}

/* ---- bits: by plain operations of the only marker, or atomic ones ---- */

static ALWAYS_INLINE bool clear_white(uint64_t *white, uint64_t bit, bool alone)
{
    uint64_t old = __atomic_load_n(white, __ATOMIC_RELAXED);
    if (!(old & bit))
        return false;
    if (alone)
        *white = old & ~bit;
    else
        old = __atomic_fetch_and(white, ~bit, __ATOMIC_SEQ_CST);
    return old & bit;
}

static ALWAYS_INLINE void set_grey(uint64_t *grey, uint64_t bit, bool alone)
{
    if (alone)
        *grey |= bit;
    else
        __atomic_fetch_or(grey, bit, __ATOMIC_SEQ_CST);
}

static ALWAYS_INLINE uint64_t take_grey(uint64_t *grey, bool alone)
{
    uint64_t bits = __atomic_load_n(grey, __ATOMIC_RELAXED);
    if (!bits)
        return 0;
    if (!alone)
        return __atomic_exchange_n(grey, 0, __ATOMIC_SEQ_CST);
    *grey = 0;
    return bits;
}

/* Sets a page's mark of waiting; true if it was not set.  Whoever sets a grey bit does this after
 * it, and who looks at the page takes the mark off before it takes the bits: none is forgotten. */
static ALWAYS_INLINE bool set_queued(uint8_t *queued, bool alone)
{
    if (__atomic_load_n(queued, __ATOMIC_RELAXED))
        return false;
    if (!alone)
        return !__atomic_exchange_n(queued, PAGE_QUEUED, __ATOMIC_SEQ_CST);
    *queued = PAGE_QUEUED;
    return true;
}

static ALWAYS_INLINE void clear_queued(uint8_t *queued, bool alone)
{
    if (alone)
        *queued = 0;
    else
        __atomic_exchange_n(queued, 0, __ATOMIC_SEQ_CST);
}

bool mark_reach(struct mark *mark, uintptr_t block)
{
    if (mark->check)
        mark_check_reach(mark->check, block);
    return clear_white(index_white(mark->index, block), index_white_bit(block), true);
}

/* ---- edges ---- */

void marker_push_page(struct marker *marker, uintptr_t page)
{
    marker->pages[marker->tail++ & marker->page_mask] = page;
}

COLD void marker_push_range(struct marker *marker, uintptr_t start, uintptr_t end)
{
    if (marker->range_count == marker->range_limit)
        __atomic_store_n(&marker->mark->overflowed, true, __ATOMIC_RELAXED);
    else
        marker->ranges[marker->range_count++] = (struct mark_range){start, end};
}

static COLD NOINLINE void reach_large(struct marker *marker, uintptr_t word)
{
    struct heap_index *index = marker->mark->index;
    size_t size = 0;
    uintptr_t block = heap_index_large(index, word, &size);
    if (block && clear_white(index_white(index, block), index_white_bit(block), marker->alone))
        marker_push_range(marker, block, block + size);
}

/* Follows a word that lies in the heap's span.  True: it has reached a block that starts on the
 * page `here`. */
static ALWAYS_INLINE bool follow(struct marker *marker, uintptr_t word, uintptr_t here, bool alone)
{
    const struct heap_index *index = marker->mark->index;
    size_t number = index_number(index, word);
    uint32_t entry = index->page[number];
    unsigned class = entry & 0xff;
    if (UNLIKELY(class - 1 >= index->small)) {
        if (class)
            reach_large(marker, word);
        return false;
    }
    uint32_t within = (entry >> INDEX_BACK_SHIFT) << 12 | (uint32_t)(word & 4095);
    uint32_t count = (uint32_t)((uint64_t)within * index->magic[class] >> 32);
    uintptr_t block = word - (within - count * (uint32_t)index->size[class]);
    number -= (word >> 12) - (block >> 12);
    uint64_t *white = &index->white[number * INDEX_PAGE_WORDS | (block >> (GRANULE_SHIFT + 6) & 3)];
    uint64_t bit = index_white_bit(block);
    if (!clear_white(white, bit, alone))
        return false;
    set_grey(white + INDEX_GREY, bit, alone);
    if ((block ^ here) < 4096) {
        __builtin_prefetch((void *)block, 0, 0);
        return true;
    }
    if (set_queued(&marker->mark->page_state[number], alone))
        marker_push_page(marker, block & ~(uintptr_t)4095);
    return false;
}

static ALWAYS_INLINE void fetch_index(const struct heap_index *index, uintptr_t word)
{
    size_t number = index_number(index, word);
    __builtin_prefetch(&index->page[number]);
    __builtin_prefetch(&index->white[number * INDEX_PAGE_WORDS], 1);
}

/* Follows marker->edges up to `top`. */
static ALWAYS_INLINE bool follow_all(struct marker *marker, const uintptr_t *top, uintptr_t here,
                                     bool alone)
{
    const struct heap_index *index = marker->mark->index;
    const uintptr_t *at = marker->edges;
    const uintptr_t *fetch = MIN(at + (marker->locality >= LOCAL ? NEAR_DISTANCE : DISTANCE), top);
    bool again = false;
    for (const uintptr_t *first = at; first < fetch; first++)
        fetch_index(index, *first);
    for (; fetch < top; fetch++, at++) {
        fetch_index(index, *fetch);
        again |= follow(marker, *at, here, alone);
    }
    for (; at < top; at++)
        again |= follow(marker, *at, here, alone);
    return again;
}

/* ---- pages ---- */

/* Looks into the grey blocks of a page, and into those of it that they lead to. */
static ALWAYS_INLINE void look_at_blocks(struct marker *marker, uintptr_t page, size_t number,
                                         size_t words, bool alone)
{
    const struct heap_index *index = marker->mark->index;
    const bool wide = marker->wide;
    uint64_t *grey = &index->white[number * INDEX_PAGE_WORDS + INDEX_GREY];
    unsigned blocks = 0, first = 0;
    bool again;
    do {
        uintptr_t *top = marker->edges;
        for (unsigned i = 0; i < 4; i++)
            for (uint64_t bits = take_grey(&grey[i], alone); bits; bits &= bits - 1) {
                uintptr_t block = page + (uintptr_t)(64 * i + __builtin_ctzll(bits)) * 16;
                top = add_words(marker, block, words, wide, top);
                blocks++;
            }
        end_wide(wide);
        if (!first)
            first = blocks;
        again = follow_all(marker, top, page, alone);
    } while (again);
    marker->locality += ((blocks > 2 * first) * 256 - marker->locality) / 16;
}

static ALWAYS_INLINE void look_at_page(struct marker *marker, uintptr_t page, bool alone)
{
    const struct heap_index *index = marker->mark->index;
    size_t number = index_number(index, page);
    clear_queued(&marker->mark->page_state[number], alone);
    size_t words = index->size[index->page[number] & 0xff] / 8;
    if (words == 8) /* one loop less for the most frequent sizes */
        look_at_blocks(marker, page, number, 8, alone);
    else if (words == 4)
        look_at_blocks(marker, page, number, 4, alone);
    else
        look_at_blocks(marker, page, number, words, alone);
}

/* Fetches the grey blocks of a page; with `all` also those that are likely to be reached from them.
 */
static ALWAYS_INLINE void fetch_blocks(const struct heap_index *index, uintptr_t page, bool all)
{
    const uint64_t *white = &index->white[index_number(index, page) * INDEX_PAGE_WORDS];
    for (unsigned i = 0; i < 4; i++) {
        uint64_t bits = __atomic_load_n(&white[i + INDEX_GREY], __ATOMIC_RELAXED);
        if (all) { /* once for each cache line */
            bits |= __atomic_load_n(&white[i], __ATOMIC_RELAXED);
            bits = (bits | bits >> 1 | bits >> 2 | bits >> 3) & UINT64_C(0x1111111111111111);
        }
        for (; bits; bits &= bits - 1)
            __builtin_prefetch((void *)(page + (uintptr_t)(64 * i + __builtin_ctzll(bits)) * 16), 0,
                               0);
    }
}

static ALWAYS_INLINE void fetch_bits(const struct marker *marker, size_t at)
{
    const struct heap_index *index = marker->mark->index;
    size_t number = index_number(index, marker->pages[at & marker->page_mask]);
    __builtin_prefetch(&index->white[number * INDEX_PAGE_WORDS], 1);
}

/* The next page; its blocks are being fetched.  Where blocks lead to others of their page the
 * newest first, depth first as it were: what it leads to is near.  Else the oldest, which has had
 * the most time to gather blocks. */
static ALWAYS_INLINE uintptr_t next_page(struct marker *marker)
{
    uintptr_t page;
    if (marker->head == marker->tail)
        return 0;
    if (marker->locality < 64) {
        page = marker->pages[marker->head++ & marker->page_mask];
        if (marker->tail - marker->head > 8)
            fetch_bits(marker, marker->head + 8);
    } else {
        page = marker->pages[--marker->tail & marker->page_mask];
        if (marker->tail - marker->head > 4)
            fetch_bits(marker, marker->tail - 4);
    }
    fetch_blocks(marker->mark->index, page, marker->locality >= LOCAL);
    return page;
}

void marker_settle(struct marker *marker)
{
    for (unsigned i = 0; i < MARK_AHEAD; i++) {
        if (marker->ahead[i])
            marker_push_page(marker, marker->ahead[i]);
        marker->ahead[i] = 0;
    }
}

/* ---- ranges ---- */

/* Drops words that point at pages on which nothing is unreached. */
static uintptr_t *drop_reached(struct marker *marker, const uintptr_t *top)
{
    const struct heap_index *index = marker->mark->index;
    const uint8_t *state = marker->mark->page_state;
    uintptr_t *left = marker->edges;
    for (const uintptr_t *at = marker->edges; at < top; at++) {
        *left = *at;
        left += __atomic_load_n(&state[index_number(index, *at)], __ATOMIC_RELAXED) != PAGE_REACHED;
    }
    return left;
}

static void look_at_words(void *ctx, uintptr_t start, uintptr_t end)
{
    struct marker *marker = ctx;
    for (; start < end; start += MARK_CHUNK) {
        /* In place, memory may go or lose its access while it is looked at: one fault for a page of
         * it, not one for each word. */
        while (start < end && UNLIKELY(!fault_readable((const uintptr_t *)start)))
            start = (start & ~(uintptr_t)4095) + 4096;
        if (start >= end)
            break;
        size_t words = (MIN(start + MARK_CHUNK, end) - start) / 8;
        uintptr_t *top = add_words(marker, start, words, marker->wide, marker->edges);
        end_wide(marker->wide);
        if (marker->mark->noted)
            top = drop_reached(marker, top);
        follow_all(marker, top, UINTPTR_MAX, marker->alone);
        marker->work += CHUNK_WORK;
    }
}

static NOINLINE void look_at_range(struct marker *marker)
{
    struct mark_range range = marker->ranges[--marker->range_count];
    if (range.end - range.start > 2 * PIECE_BYTES) {
        uintptr_t rest = (range.start + PIECE_BYTES) & ~(uintptr_t)4095;
        marker->ranges[marker->range_count++].start = rest;
        range.end = rest;
    }
    uintptr_t first_page = (range.start + 4095) & ~(uintptr_t)4095;
    uintptr_t last_page = range.end & ~(uintptr_t)4095;
    if (range.end - range.start < SPARSE_BYTES) {
        look_at_words(marker, range.start, range.end);
        return;
    }
    look_at_words(marker, range.start, first_page);
    pages_each_written(first_page, last_page, look_at_words, marker);
    look_at_words(marker, last_page, range.end);
}

/* ---- all of it ---- */

/* Whether the CPU is wanted by others. */
static bool has_waited(struct marker *marker)
{
    int64_t wall = raw_clock_ns(CLOCK_MONOTONIC), cpu = raw_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    int64_t waited = (wall - marker->wall_ns) - (cpu - marker->cpu_ns);
    bool first = marker->wall_ns == 0;
    marker->wall_ns = wall;
    marker->cpu_ns = cpu;
    return !first && waited > marker->mark->patience_ns;
}

static ALWAYS_INLINE bool drain(struct marker *marker, bool alone)
{
    const struct team *team = marker->mark->team;
    const unsigned help_after = marker->mark->eager ? 1 : HELP_AFTER;
    for (;;) {
        uintptr_t fresh = next_page(marker);
        uintptr_t page = marker->ahead[marker->ahead_at];
        marker->ahead[marker->ahead_at] = fresh;
        marker->ahead_at = (marker->ahead_at + 1) % MARK_AHEAD;
        if (page) {
            look_at_page(marker, page, alone);
            marker->work++;
        } else if (!fresh) {
            bool fetching = false;
            for (unsigned i = 0; i < MARK_AHEAD; i++)
                fetching |= marker->ahead[i] != 0;
            if (!fetching && !marker->range_count)
                return true;
            if (!fetching)
                look_at_range(marker);
        }
        if (alone) {
            if (UNLIKELY(marker->work >= help_after)) {
                marker->work = 0;
                team_pace(marker);
                if (marker->mark->helpers &&
                    (marker_backlog(marker) >= HELP_BACKLOG || marker->mark->eager))
                    return false;
            }
        } else {
            if (UNLIKELY(__atomic_load_n(&team->hungry, __ATOMIC_RELAXED) >
                         __atomic_load_n(&team->full, __ATOMIC_RELAXED)))
                team_give(marker);
            if (UNLIKELY(marker->work >= CLOCK_EVERY)) {
                marker->work = 0;
                if (marker->number == 0)
                    team_pace(marker);
                else if (has_waited(marker))
                    return false;
            }
        }
    }
}

HOT NOINLINE static bool drain_alone(struct marker *marker)
{
    return drain(marker, true);
}

HOT NOINLINE static bool drain_shared(struct marker *marker)
{
    return drain(marker, false);
}

bool marker_drain(struct marker *marker)
{
    return marker->alone ? drain_alone(marker) : drain_shared(marker);
}

static void reach_all(struct mark *mark)
{
    struct marker *marker = mark->marker;
    while (!marker_drain(marker))
        if (!team_start(mark))
            mark->helpers = 0; /* not asked again in this cycle */
    if (marker->alone)
        return;
    while (team_take(marker))
        marker_drain(marker);
    team_end(mark);
}

void mark_from(struct mark *mark, uintptr_t start, uintptr_t end)
{
    start = (start + 7) & ~(uintptr_t)7;
    end &= ~(uintptr_t)7;
    if (mark->check)
        mark_check_words(mark->check, start, end);
    /* What is long waits, for whoever has time. */
    for (; start < end && end - start > SPARSE_BYTES; start += SPARSE_BYTES / 2) {
        if (mark->marker->range_count == mark->marker->range_limit)
            break;
        marker_push_range(mark->marker, start, start + SPARSE_BYTES / 2);
    }
    if (start < end)
        look_at_words(mark->marker, start, end);
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
