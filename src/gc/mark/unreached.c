#include "gc/mark/unreached.h"

#include "base/os.h"
#include "gc/sys/fault.h"
#include "gc/sys/pagemap.h"
#include "heap/extents.h"
#include "segment/segment.h"

#include <string.h>
#include <sys/mman.h>

static uint8_t *sample_state; /* MAP_SHARED: written where the mark runs, read by the tracer */
static size_t sample_room;

/* The white bits of a page of heap; with its address, in the low bits, its size class. */
struct lost_page {
    uint64_t page_and_class;
    uint64_t bits[4];
};

/* What one cycle has not reached.  MAP_SHARED too; only what is used is ever touched, 40 bytes for
 * a page of heap with something lost on it. */
struct lost {
    size_t mapped;  /* bytes */
    size_t counted; /* of them, as ours */
    uint64_t room, count;
    bool full;
    struct unreached_class unsampled[OBJECT_CLASS_HUGE + 1]; /* of the unreached */
    struct unreached_class leaked[OBJECT_CLASS_HUGE + 1];    /* of these, the leaks */
    struct lost_page pages[];                                /* ascending */
};
static struct lost *lost_before, *lost_now; /* of the last cycle told; of the one under way */

static void unmap(void *memory, size_t size)
{
    own_forget(memory, size);
    os_munmap(memory, size);
}

/* The pointer goes before the memory does, as a fork may come between. */
static void unmap_lost(struct lost **place)
{
    struct lost *old = *place;
    __atomic_store_n(place, NULL, __ATOMIC_SEQ_CST);
    if (!old)
        return;
    own_count(-(int64_t)old->counted);
    unmap(old, old->mapped);
}

static void renew_samples(void)
{
    uint8_t *old = sample_state; /* as above */
    size_t old_room = sample_room;
    __atomic_store_n(&sample_state, NULL, __ATOMIC_SEQ_CST);
    sample_room = 0;
    if (old)
        unmap(old, old_room);
}

void unreached_postfork_child(void)
{
    renew_samples();
    unmap_lost(&lost_before);
    unmap_lost(&lost_now);
}

/* Room for every page of the heap, and for what it grows by until the snapshot. */
static bool map_lost(void)
{
    uint64_t pages = extents_bytes() / OS_PAGE;
    uint64_t room = pages + pages / 4 + 4096;
    size_t size = (sizeof(struct lost) + room * sizeof(struct lost_page) + OS_PAGE - 1) &
                  ~(size_t)(OS_PAGE - 1);
    unmap_lost(&lost_now);
    /* No access at first: mlockall would make all of it resident. */
    void *memory = own_map_as(size, PROT_NONE, MAP_SHARED | MAP_NORESERVE, 0);
    if (!memory)
        return false;
    if (mprotect(memory, size, PROT_READ | PROT_WRITE) != 0) {
        unmap(memory, size);
        return false;
    }
    struct lost *lost = memory;
    lost->mapped = size;
    lost->room = room;
    __atomic_store_n(&lost_now, lost, __ATOMIC_SEQ_CST);
    return true;
}

const char *unreached_prepare(void)
{
    size_t wanted = (size_t)segment_capacity(MD_SECTION_SAMPLES);
    wanted = (wanted + OS_PAGE - 1) & ~(size_t)(OS_PAGE - 1);
    if (!map_lost())
        return "no memory for the result";
    if (sample_state && wanted > sample_room)
        renew_samples();
    if (sample_state)
        return NULL;
    sample_state = own_map_as(wanted, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, 0);
    if (!sample_state)
        return "no memory for the result";
    sample_room = wanted;
    return NULL;
}

const uint8_t *unreached_samples(void)
{
    return sample_state;
}

void unreached_keep(void)
{
    unmap_lost(&lost_before);
    lost_before = lost_now;
    __atomic_store_n(&lost_now, NULL, __ATOMIC_SEQ_CST);
    if (!lost_before)
        return;
    lost_before->counted = sizeof *lost_before + lost_before->count * sizeof *lost_before->pages;
    own_count((int64_t)lost_before->counted);
}

void unreached_drop(void)
{
    unmap_lost(&lost_now);
}

bool unreached_had_before(void)
{
    return lost_before;
}

const struct unreached_class *unreached_unsampled(bool leaked)
{
    return leaked ? lost_now->leaked : lost_now->unsampled;
}

/* ---- direct and indirect ---- */

/* Two more sets of blocks in the shape of the white one: views of the same index. */
struct sets {
    struct mark *mark;
    struct heap_index found;  /* white as the mark left it; then those of them without a sample */
    struct heap_index direct; /* white: those that may be direct, in the end those that are */
    struct unreached_result *result;
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
        pagemap_each_written(first_page, last_page, follow_written, mark);
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

/* Second pass, downwards over those, all blocks white again: one that another of them leads to is
 * not direct after all.
 *
 * Why one pass does: take a group of blocks that reach each other and that no other block leads
 * to.  Exactly one of it is among those found, its lowest, from which the first pass reached the
 * others.  Whatever else was found and hangs on it lies below it: had it lain above, the first pass
 * would have reached it from there.  So the one is looked at, and followed, before those that hang
 * on it. */
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

static void leave_doubted_out(struct sets *sets)
{
    struct heap_index *index = sets->mark->index;
    for (size_t i = 0; i < sets->mark->doubted_count; i++) {
        uintptr_t block = sets->mark->doubted[i];
        uint64_t bit = index_white_bit(block);
        size_t size;
        if (!heap_index_resolve(index, block, &size) || !(*index_white(index, block) & bit))
            continue;
        *index_white(index, block) &= ~bit;
        *index_white(&sets->found, block) &= ~bit;
        index->objects--;
        index->bytes -= size;
        if (*index_white(&sets->direct, block) & bit) {
            sets->result->direct_objects--;
            sets->result->direct_bytes -= size;
        }
    }
}

/* ---- samples ---- */

/* The table lies in shared memory and goes on changing. */
static void find_samples(struct sets *sets, bool nothing_new)
{
    const struct heap_index *index = sets->mark->index;
    const struct md_sample *table = segment_table(MD_SECTION_SAMPLES);
    uint64_t count = MIN(segment_count(MD_SECTION_SAMPLES), sample_room);
    for (uint64_t slot = 0; slot < count; slot++) {
        uint64_t block = __atomic_load_n(&table[slot].addr, __ATOMIC_RELAXED);
        sample_state[slot] = 0; /* a trace that came to nothing may have been here */
        if (block - index->lo >= index->span ||
            !(*index_white(index, block) & index_white_bit(block)))
            continue;
        *index_white(&sets->found, block) &= ~index_white_bit(block);
        uint32_t before = __atomic_load_n(&table[slot].flags, __ATOMIC_RELAXED);
        if (before & MD_SAMPLE_UNREACHED) {
            size_t size = 0;
            heap_index_resolve(index, block, &size);
            sets->result->leaked_objects++;
            sets->result->leaked_bytes += size;
        }
        if (nothing_new && !(before & MD_SAMPLE_UNREACHED))
            continue;
        bool direct = *index_white(&sets->direct, block) & index_white_bit(block);
        sample_state[slot] = (uint8_t)(MD_SAMPLE_UNREACHED | (direct ? 0 : MD_SAMPLE_INDIRECT) |
                                       (nothing_new ? MD_SAMPLE_LEAK : 0));
        sets->result->unreached_samples++;
    }
    sets->result->samples = count;
}

/* ---- what two cycles have not reached ---- */

struct keeper {
    struct sets *sets;
    uint64_t next; /* page of the cycle before */
};

static void count_unsampled(struct unreached_class *class, size_t size)
{
    class->objects++;
    class->bytes += size;
}

/* Writes down the white blocks of a page, and counts those without a sample: in all, and those that
 * the cycle before has not reached either.  Beside the running program one of them may be freed by
 * now (its pointer was disguised). */
static void keep_page(void *ctx, uintptr_t page, unsigned class, const uint64_t *white)
{
    struct keeper *keeper = ctx;
    const struct heap_index *found = &keeper->sets->found;
    struct unreached_result *result = keeper->sets->result;
    const uint64_t *unsampled = index_white(found, page), *before = NULL;
    if (lost_now->count == lost_now->room) {
        lost_now->full = true;
        return;
    }
    struct lost_page *entry = &lost_now->pages[lost_now->count++];
    *entry = (struct lost_page){page | class, {white[0], white[1], white[2], white[3]}};
    for (; lost_before && keeper->next < lost_before->count; keeper->next++) {
        const struct lost_page *old = &lost_before->pages[keeper->next];
        if (old->page_and_class >= page) {
            before = old->page_and_class == (page | class) ? old->bits : NULL;
            break;
        }
    }
    for (unsigned i = 0; i < 4; i++)
        for (uint64_t left = unsampled[i]; left; left &= left - 1) {
            unsigned bit = (unsigned)__builtin_ctzll(left);
            uintptr_t block = page + (uintptr_t)(64 * i + bit) * 16;
            size_t size = 0;
            if ((*object_byte((void *)block) & OBJECT_CLASS) != class)
                continue;
            heap_index_resolve(found, block, &size);
            count_unsampled(&lost_now->unsampled[class], size);
            if (!before || !(before[i] >> bit & 1))
                continue;
            count_unsampled(&lost_now->leaked[class], size);
            result->leaked_objects++;
            result->leaked_bytes += size;
        }
}

static bool keep_lost(struct sets *sets)
{
    struct keeper keeper = {sets, 0};
    lost_now->count = 0; /* a trace that came to nothing may have been here */
    memset(lost_now->unsampled, 0, sizeof lost_now->unsampled);
    memset(lost_now->leaked, 0, sizeof lost_now->leaked);
    heap_index_each_white_page(sets->mark->index, keep_page, &keeper);
    return !lost_now->full;
}

static uint64_t *map_bits(size_t size)
{
    return own_map_as(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, 0);
}

bool unreached_find(struct mark *mark, bool nothing_new, struct unreached_result *result)
{
    *result = (struct unreached_result){0};
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
        leave_doubted_out(sets);
        if (sample_state)
            find_samples(sets, nothing_new);
        ok = !lost_now || keep_lost(sets);
    }
    if (direct)
        unmap(direct, size);
    if (found)
        unmap(found, size);
    if (sets)
        own_unmap(sets, sizeof *sets);
    return ok;
}
