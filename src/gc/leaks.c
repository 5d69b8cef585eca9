#include "gc/leaks.h"

#include "base/os.h"
#include "gc/fault.h"
#include "gc/pages.h"
#include "heap/extents.h"
#include "segment/segment.h"

#include <string.h>
#include <sys/mman.h>

static uint8_t *sample_state; /* MAP_SHARED: written where the mark runs, read by the tracer */
static size_t sample_room;

static void unmap(void *memory, size_t size)
{
    own_forget(memory, size);
    munmap(memory, size);
}

void leaks_renew(void)
{
    uint8_t *old = sample_state; /* forgotten before it goes: a fork may come between */
    size_t old_room = sample_room;
    __atomic_store_n(&sample_state, NULL, __ATOMIC_SEQ_CST);
    sample_room = 0;
    if (old)
        unmap(old, old_room);
}

const char *leaks_prepare(void)
{
    size_t wanted = (size_t)segment_capacity(MD_SECTION_SAMPLES);
    wanted = (wanted + OS_PAGE - 1) & ~(size_t)(OS_PAGE - 1);
    if (sample_state && wanted > sample_room)
        leaks_renew();
    if (sample_state)
        return NULL;
    void *room = mmap(NULL, wanted, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED)
        return "no memory for the result";
    own_note(room, wanted, 0);
    sample_state = room;
    sample_room = wanted;
    return NULL;
}

const uint8_t *leaks_samples(void)
{
    return sample_state;
}

/* ---- direct and indirect ---- */

/* Two more sets of blocks in the shape of the white one: views of the same index. */
struct sets {
    struct mark *mark;
    struct heap_index found;  /* white as the mark left it */
    struct heap_index direct; /* white: those that may be direct, in the end those that are */
    struct leaks_result *result;
};

static void enter(const struct heap_index *set, uintptr_t block)
{
    *index_white(set, block) |= index_white_bit(block);
}

static void enter_found(void *ctx, uintptr_t block, size_t size, bool sampled)
{
    struct sets *sets = ctx;
    (void)size, (void)sampled;
    enter(&sets->found, block);
}

static void enter_white(void *ctx, uintptr_t block, size_t size, bool sampled)
{
    struct sets *sets = ctx;
    (void)size, (void)sampled;
    enter(sets->mark->index, block);
}

static void follow_written(void *ctx, uintptr_t start, uintptr_t end)
{
    mark_from(ctx, start, end);
}

/* Blocks up to this size are looked into first: most lead nowhere, and the marker's rings have to
 * run empty for each block that it is given. */
#define GLANCE_BYTES ((size_t)1024)

static bool leads_on(const struct heap_index *index, uintptr_t block, size_t size)
{
    for (uintptr_t at = block; at < block + size; at += 8) {
        uintptr_t word = fault_load((const uintptr_t *)at), target;
        size_t target_size;
        if (word - index->lo < index->span &&
            (target = heap_index_resolve(index, word, &target_size)) &&
            (*index_white(index, target) & index_white_bit(target)))
            return true;
    }
    return false;
}

/* Reaches everything that the contents of a block lead to. */
static void follow(struct mark *mark, uintptr_t block, size_t size)
{
    if (size <= GLANCE_BYTES && !leads_on(mark->index, block, size))
        return;
    uintptr_t first_page = (block + 4095) & ~(uintptr_t)4095;
    uintptr_t last_page = (block + size) & ~(uintptr_t)4095;
    if (size < MARK_SPARSE_BYTES) {
        mark_from(mark, block, block + size);
    } else {
        mark_from(mark, block, first_page);
        pages_each_written(first_page, last_page, follow_written, mark);
        mark_from(mark, last_page, block + size);
    }
    mark_finish(mark); /* what an overflow dropped, before the next block is judged */
}

/* First pass, upwards: a block that none before it leads to may be direct. */
static void try_block(void *ctx, uintptr_t block, size_t size, bool sampled)
{
    struct sets *sets = ctx;
    (void)sampled;
    if (!mark_reach(sets->mark, block))
        return;
    enter(&sets->direct, block);
    follow(sets->mark, block, size);
}

/* Second pass, downwards over those, all blocks white again.  Each group that nothing leads to has
 * exactly one among them, and it lies above those that it leads to: had it lain below, the first
 * pass would have reached them from it. */
static void judge_block(struct sets *sets, uintptr_t block)
{
    size_t size = 0;
    if (!mark_reach(sets->mark, block)) {
        *index_white(&sets->direct, block) &= ~index_white_bit(block);
        return;
    }
    heap_index_resolve(sets->mark->index, block, &size);
    sets->result->direct_objects++;
    sets->result->direct_bytes += size;
    follow(sets->mark, block, size);
}

static void judge_page(struct sets *sets, uintptr_t page)
{
    const uint64_t *bits = index_white(&sets->direct, page);
    for (unsigned i = 4; i-- > 0;)
        for (uint64_t left = bits[i]; left;) {
            unsigned bit = 63 - (unsigned)__builtin_clzll(left);
            left &= ~(UINT64_C(1) << bit);
            judge_block(sets, page + (uintptr_t)(64 * i + bit) * 16);
        }
}

static void find_direct(struct sets *sets)
{
    struct heap_index *index = sets->mark->index;
    heap_index_each_white(index, enter_found, sets);
    heap_index_each_white(index, try_block, sets);
    heap_index_each_white(&sets->found, enter_white, sets);
    for (unsigned i = extent_count; i-- > 0;)
        for (uintptr_t page = extents[i].end; page > extents[i].start; page -= 4096)
            if (*index_page(index, page - 4096) & 0xff)
                judge_page(sets, page - 4096);
    heap_index_each_white(&sets->found, enter_white, sets);
}

/* ---- samples ---- */

/* The table lies in shared memory and goes on changing. */
static void find_samples(struct sets *sets, bool nothing_new)
{
    const struct heap_index *index = sets->mark->index;
    const struct md_sample *table = segment_table(MD_SECTION_SAMPLES);
    uint64_t count =
        __atomic_load_n(&segment_header()->section[MD_SECTION_SAMPLES].count, __ATOMIC_ACQUIRE);
    count = MIN(count, sample_room);
    for (uint64_t slot = 0; slot < count; slot++) {
        uint64_t block = __atomic_load_n(&table[slot].addr, __ATOMIC_RELAXED);
        sample_state[slot] = 0; /* a trace that came to nothing may have been here */
        if (block - index->lo >= index->span ||
            !(*index_white(index, block) & index_white_bit(block)))
            continue;
        uint32_t before = __atomic_load_n(&table[slot].flags, __ATOMIC_RELAXED);
        if (nothing_new && !(before & MD_SAMPLE_UNREACHED))
            continue;
        bool direct = *index_white(&sets->direct, block) & index_white_bit(block);
        sample_state[slot] = (uint8_t)(MD_SAMPLE_UNREACHED | (direct ? 0 : MD_SAMPLE_INDIRECT) |
                                       (nothing_new ? MD_SAMPLE_LEAK : 0));
        sets->result->unreached_samples++;
    }
    sets->result->samples = count;
}

static uint64_t *map_bits(size_t size)
{
    void *bits = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (bits == MAP_FAILED)
        return NULL;
    own_note(bits, size, 0);
    return bits;
}

bool leaks_find(struct mark *mark, bool nothing_new, struct leaks_result *result)
{
    *result = (struct leaks_result){0};
    size_t size = index_white_bytes(mark->index);
    struct sets *sets = own_map(sizeof *sets);
    uint64_t *found = map_bits(size), *direct = map_bits(size);
    bool ok = sets && found && direct;
    if (ok) {
        sets->mark = mark;
        sets->found = sets->direct = *mark->index;
        sets->found.white = found;
        sets->direct.white = direct;
        sets->result = result;
        find_direct(sets);
        if (sample_state)
            find_samples(sets, nothing_new);
    }
    if (direct)
        unmap(direct, size);
    if (found)
        unmap(found, size);
    if (sets)
        own_unmap(sets, sizeof *sets);
    return ok;
}
