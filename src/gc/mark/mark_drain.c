/* The inner loop of a mark.  Built more than once, with MARK_CODE as the name of what it exports
 * (marker.h). */
#include "gc/mark/mark.h"

#include "gc/mark/mark_words.h"
#include "gc/mark/marker.h"
#include "gc/sys/pagemap.h"
#include "gc/sys/raw.h"

#define DISTANCE 12 /* edges between the fetch of what the index says and its use */
#define LOCAL 128   /* of 256: a page's blocks are mostly reached from the page itself */
/* Of a large block at one time; what is left may go to another marker. */
#define PIECE_BYTES ((size_t)1 << 20)
#define CHUNK_WORK 16u /* a chunk counts for as many pages */
/* Pages between looks at the clocks; alone, where helpers may be started then, and in a team. */
#define ALONE_CLOCK_EVERY 512u
#define CLOCK_EVERY 256u

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
    uint64_t bits = __atomic_load_n(grey, alone ? __ATOMIC_RELAXED : __ATOMIC_SEQ_CST);
    if (!bits)
        return 0;
    if (!alone)
        return __atomic_exchange_n(grey, 0, __ATOMIC_SEQ_CST);
    *grey = 0;
    return bits;
}

/* Sets a page's mark of waiting; true if it was not set.
 *
 * No grey bit is forgotten: whoever sets one looks at this mark after it, and whoever looks at the
 * page takes the mark off before it takes the bits.  So if the first still finds the mark, the
 * second finds the bit.  That holds as all four are SEQ_CST, the load here and that in take_grey
 * too: these operations have one order for all CPUs, and a relaxed load could go before the write
 * that precedes it.  It costs x86-64 nothing, where each atomic read-modify-write is a full fence
 * and every load alike; on aarch64 such a load is LDAR, which waits for the write. */
static ALWAYS_INLINE bool set_queued(uint8_t *queued, bool alone)
{
    if (__atomic_load_n(queued, alone ? __ATOMIC_RELAXED : __ATOMIC_SEQ_CST))
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

/* ---- edges ---- */

static COLD NOINLINE void reach_large(struct marker *marker, uintptr_t word)
{
    struct heap_index *index = marker->mark->index;
    size_t size = 0;
    uintptr_t block = heap_index_large(index, word, &size);
    if (block && clear_white(index_white(index, block), index_white_bit(block), marker->alone))
        marker_push_range(marker, block, block + size);
}

/* Follows a word that lies in the heap's span. */
static ALWAYS_INLINE void follow(struct marker *marker, uintptr_t word, bool alone)
{
    const struct heap_index *index = marker->mark->index;
    size_t number = index_number(index, word);
    uint32_t entry = index->page[number];
    unsigned class = entry & 0xff;
    if (UNLIKELY(class - 1 >= index->small)) {
        if (class)
            reach_large(marker, word);
        return;
    }
    uint32_t within = (entry >> INDEX_BACK_SHIFT) << 12 | (uint32_t)(word & 4095);
    uint32_t count = (uint32_t)((uint64_t)within * index->magic[class] >> 32);
    uintptr_t block = word - (within - count * (uint32_t)index->size[class]);
    number -= (word >> 12) - (block >> 12);
    uint64_t *white = &index->white[number * INDEX_PAGE_WORDS | (block >> (GRANULE_SHIFT + 6) & 3)];
    uint64_t bit = index_white_bit(block);
    if (!clear_white(white, bit, alone))
        return;
    set_grey(white + INDEX_GREY, bit, alone);
    if (set_queued(&marker->mark->page_state[number], alone))
        marker_push_page(marker, block & ~(uintptr_t)4095);
}

static ALWAYS_INLINE void fetch_index(const struct heap_index *index, uintptr_t word)
{
    size_t number = index_number(index, word);
    __builtin_prefetch(&index->page[number]);
    __builtin_prefetch(&index->white[number * INDEX_PAGE_WORDS], 1);
}

/* Follows marker->edges up to `top`. */
static ALWAYS_INLINE void follow_all(struct marker *marker, const uintptr_t *top, bool alone)
{
    const struct heap_index *index = marker->mark->index;
    const uintptr_t *at = marker->edges, *fetch = MIN(at + DISTANCE, top);
    for (const uintptr_t *first = at; first < fetch; first++)
        fetch_index(index, *first);
    for (; fetch < top; fetch++, at++) {
        fetch_index(index, *fetch);
        follow(marker, *at, alone);
    }
    for (; at < top; at++)
        follow(marker, *at, alone);
}

/* ---- pages ---- */

/* The page that is being looked at. */
struct here {
    uintptr_t page;
    uint64_t *white;
    uint32_t size, magic; /* of its class */
    uint32_t back;        /* bytes to the start of its run */
};

/* Follows a word that points at this page, without a look at the index; what it reaches is added to
 * `grey`, as nobody else needs to know.  False: to a block that starts on another page. */
static ALWAYS_INLINE bool follow_here(const struct here *here, uintptr_t word, uint64_t grey[4],
                                      bool alone)
{
    uint32_t within = here->back + (uint32_t)(word & 4095);
    uint32_t count = (uint32_t)((uint64_t)within * here->magic >> 32);
    uintptr_t block = word - (within - count * here->size);
    if ((block ^ here->page) >= 4096)
        return false;
    unsigned i = block >> (GRANULE_SHIFT + 6) & 3;
    uint64_t bit = index_white_bit(block);
    if (clear_white(&here->white[i], bit, alone)) {
        grey[i] |= bit;
        __builtin_prefetch((void *)block, 0, 0);
    }
    return true;
}

/* Looks into the grey blocks of a page, and into those of it that they lead to.  Of a tree that was
 * allocated in its order nine edges of ten stay on the page.  The others are gathered at the
 * beginning of marker->edges, behind which those of the next blocks are added. */
static ALWAYS_INLINE void look_at_blocks(struct marker *marker, const struct here *here,
                                         size_t words, bool alone)
{
    const struct heap_index *index = marker->mark->index;
    uintptr_t *away = marker->edges, *followed = marker->edges;
    const struct words_span heap = words_span(index->lo, index->span);
    uint64_t grey[4];
    unsigned blocks = 0, first = 0;
    for (unsigned i = 0; i < 4; i++)
        grey[i] = take_grey(&here->white[INDEX_GREY + i], alone);
    do {
        uintptr_t *top = away;
        for (unsigned i = 0; i < 4; i++) {
            uint64_t bits = grey[i];
            for (grey[i] = 0; bits; bits &= bits - 1) {
                uintptr_t granule = 64 * i + (unsigned)__builtin_ctzll(bits);
                top = add_words(heap, here->page + granule * 16, words, top);
                blocks++;
            }
        }
        if (!first)
            first = blocks;
        for (const uintptr_t *at = away; at < top; at++) {
            uintptr_t word = *at;
            if ((word ^ here->page) < 4096 && follow_here(here, word, grey, alone))
                continue;
            fetch_index(index, word);
            *away++ = word;
            if (away - followed > DISTANCE)
                follow(marker, *followed++, alone);
        }
    } while (grey[0] | grey[1] | grey[2] | grey[3]);
    while (followed < away)
        follow(marker, *followed++, alone);
    marker->locality += ((blocks > 2 * first) * 256 - marker->locality) / 16;
}

static ALWAYS_INLINE void look_at_page(struct marker *marker, uintptr_t page, bool alone)
{
    const struct heap_index *index = marker->mark->index;
    size_t number = index_number(index, page);
    clear_queued(&marker->mark->page_state[number], alone);
    uint32_t entry = index->page[number], size = (uint32_t)index->size[entry & 0xff];
    struct here here = {page, &index->white[number * INDEX_PAGE_WORDS], size,
                        index->magic[entry & 0xff], entry >> INDEX_BACK_SHIFT << 12};
    if (size == 64) { /* one loop less for the most frequent sizes, and no multiplication */
        here.size = 64;
        here.magic = UINT32_C(1) << 26;
        look_at_blocks(marker, &here, 8, alone);
    } else if (size == 32) {
        here.size = 32;
        here.magic = UINT32_C(1) << 27;
        look_at_blocks(marker, &here, 4, alone);
    } else {
        look_at_blocks(marker, &here, size / 8, alone);
    }
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

static void look_at_words(struct marker *marker, uintptr_t start, uintptr_t end)
{
    const struct words_span heap = words_span(marker->mark->index->lo, marker->mark->index->span);
    for (; start < end; start += MARK_CHUNK) {
        /* In place, memory may go or lose its access while it is looked at: one fault for a page of
         * it, not one for each word. */
        while (start < end && UNLIKELY(!fault_readable((const uintptr_t *)start)))
            start = (start & ~(uintptr_t)4095) + 4096;
        if (start >= end)
            break;
        size_t words = (MIN(start + MARK_CHUNK, end) - start) / 8;
        uintptr_t *top = add_words(heap, start, words, marker->edges);
        if (marker->mark->noted)
            top = drop_reached(marker, top);
        follow_all(marker, top, marker->alone);
        marker->work += CHUNK_WORK;
    }
}

static bool none_between(uintptr_t lo, uintptr_t span, uintptr_t start, uintptr_t end)
{
    enum { AT_ONCE = 64 };
    const struct words_span window = words_span(lo, span);
    uintptr_t found[AT_ONCE + 4];
    for (; start < end; start += 8 * (uintptr_t)AT_ONCE)
        if (add_words(window, start, MIN(AT_ONCE, (end - start) / 8), found) != found)
            return false;
    return true;
}

static void look_at_written(void *ctx, uintptr_t start, uintptr_t end)
{
    look_at_words(ctx, start, end);
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
    if (range.end - range.start < MARK_SPARSE_BYTES) {
        look_at_words(marker, range.start, range.end);
        return;
    }
    look_at_words(marker, range.start, first_page);
    pagemap_each_written(first_page, last_page, look_at_written, marker);
    look_at_words(marker, last_page, range.end);
}

/* ---- all of it ---- */

static ALWAYS_INLINE enum marker_need drain(struct marker *marker, bool alone)
{
    const struct mark_demand *demand = marker->demand;
    const unsigned clock_after = !alone ? CLOCK_EVERY : marker->mark->eager ? 1 : ALONE_CLOCK_EVERY;
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
                return MARKER_DONE;
            if (!fetching)
                look_at_range(marker);
        }
        if (UNLIKELY(marker->work >= clock_after)) {
            marker->work = 0;
            return MARKER_CLOCK;
        }
        if (!alone && UNLIKELY(__atomic_load_n(&demand->idle, __ATOMIC_RELAXED) >
                               __atomic_load_n(&demand->full, __ATOMIC_RELAXED)))
            return MARKER_GIVE;
    }
}

HOT NOINLINE static enum marker_need drain_alone(struct marker *marker)
{
    return drain(marker, true);
}

HOT NOINLINE static enum marker_need drain_shared(struct marker *marker)
{
    return drain(marker, false);
}

const struct mark_code MARK_CODE = {drain_alone, drain_shared, look_at_words, none_between};
