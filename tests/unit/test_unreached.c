/* Direct and indirect, on thousands of random graphs and on shapes made by hand, against a matrix
 * of who reaches whom; and what the samples are told of it. */
#include "gc_heap.h"
#include "tap.h"

#include "gc/mark/mark.h"
#include "gc/mark/unreached.h"
#include "gc/sys/pagemap.h"
#include "gc/sys/proc.h"
#include "prof/live.h"

#include <stdlib.h>

#define BLOCKS_MAX 160u

static uint64_t random_state = 88172645463325252u;

static uint64_t draw(uint64_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % below;
}

static char *blocks[BLOCKS_MAX]; /* by address */
static size_t sizes[BLOCKS_MAX];
static uint64_t handles[BLOCKS_MAX];
static unsigned count;
static bool reaches[BLOCKS_MAX][BLOCKS_MAX]; /* through any number of edges, itself by none */
static bool alive[BLOCKS_MAX];               /* reachable from the root */

static int by_address(const void *a, const void *b)
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    return x < y ? -1 : x > y;
}

static void make_blocks(unsigned n, const size_t *wanted, unsigned kinds)
{
    count = n;
    for (unsigned i = 0; i < n; i++)
        blocks[i] = th_alloc(wanted[draw(kinds)]);
    qsort(blocks, n, sizeof *blocks, by_address);
    for (unsigned i = 0; i < n; i++) {
        sizes[i] = object_class_size[*object_byte(blocks[i])];
        memset(blocks[i], 0, sizes[i]);
        handles[i] = live_add_locked((uintptr_t)blocks[i], 0, 1024, 0, false);
    }
    memset(reaches, 0, sizeof reaches);
    memset(alive, 0, sizeof alive);
}

static void edge(unsigned from, unsigned to)
{
    /* Anywhere in the block, to anywhere in the other. */
    uintptr_t *words = (uintptr_t *)blocks[from];
    words[draw(sizes[from] / 8)] = (uintptr_t)blocks[to] + (draw(3) ? 0 : draw(sizes[to]));
}

/* Reads the edges back from the blocks, as one may have overwritten another. */
static void close_matrix(void)
{
    for (unsigned i = 0; i < count; i++)
        for (size_t w = 0; w < sizes[i] / 8; w++)
            for (unsigned j = 0; j < count; j++)
                if (((uintptr_t *)blocks[i])[w] - (uintptr_t)blocks[j] < sizes[j])
                    reaches[i][j] = true;
    for (unsigned k = 0; k < count; k++)
        for (unsigned i = 0; i < count; i++)
            for (unsigned j = 0; reaches[i][k] && j < count; j++)
                reaches[i][j] |= reaches[k][j];
}

/* Whether everything unreachable that leads to `i` is led to by it, and none such lies lower. */
static bool is_direct(unsigned i)
{
    for (unsigned j = 0; j < count; j++)
        if (!alive[j] && j != i && reaches[j][i] && (!reaches[i][j] || j < i))
            return false;
    return true;
}

/* One cycle's worth, with `root` alive (count: none).  Wrong answers. */
static unsigned judge(unsigned root, size_t edge_limit, struct unreached_result *result)
{
    static struct heap_index index;
    static struct mark mark;
    unsigned wrong = 0, unreachable = 0;
    uint64_t direct = 0, direct_bytes = 0, white, white_bytes;
    close_matrix();
    uintptr_t roots[1] = {root < count ? (uintptr_t)blocks[root] : 0};
    for (unsigned i = 0; root < count && i < count; i++)
        alive[i] = i == root || reaches[root][i];
    if (unreached_prepare() || !heap_index_build(&index, NULL) ||
        !mark_init(&mark, &index, edge_limit))
        return 1000;
    mark_from(&mark, (uintptr_t)roots, (uintptr_t)(roots + 1));
    mark_finish(&mark);
    wrong += !unreached_find(&mark, false, result);
    const uint8_t *told = unreached_samples();
    for (unsigned i = 0; i < count; i++) {
        bool first = !alive[i] && is_direct(i);
        uint32_t slot = (uint32_t)handles[i] - 1;
        unsigned flags = alive[i] ? 0 : MD_SAMPLE_UNREACHED | (first ? 0 : MD_SAMPLE_INDIRECT);
        wrong += told[slot] != flags;
        unreachable += !alive[i];
        direct += first;
        direct_bytes += first ? sizes[i] : 0;
    }
    heap_index_count_white(&index, &white, &white_bytes);
    wrong += white != unreachable; /* the white bits are as they were */
    wrong += result->direct_objects != direct || result->direct_bytes != direct_bytes;
    wrong += result->unreached_samples != unreachable;
    /* Without a full look: those that were unreached before are what they were. */
    struct md_sample *table = segment_table(MD_SECTION_SAMPLES);
    struct unreached_result again;
    for (unsigned i = 0; i < count; i += 2)
        table[(uint32_t)handles[i] - 1].flags = MD_SAMPLE_UNREACHED;
    wrong += !unreached_find(&mark, true, &again);
    for (unsigned i = 0; i < count; i++) {
        uint32_t slot = (uint32_t)handles[i] - 1;
        bool is = told[slot] & MD_SAMPLE_LEAK && told[slot] & MD_SAMPLE_UNREACHED;
        wrong += is != (!alive[i] && i % 2 == 0) || (!is && told[slot]);
        table[slot].flags = 0;
    }
    wrong += again.direct_objects != direct;
    mark_free(&mark);
    heap_index_free(&index);
    return wrong;
}

static void free_blocks(void)
{
    struct md_sample out;
    for (unsigned i = 0; i < count; i++) {
        live_remove_locked(handles[i], &out);
        memset(blocks[i], 0, sizes[i]);
        th_free(blocks[i]);
    }
}

static void test_random(unsigned rounds, const size_t *wanted, unsigned kinds, size_t edge_limit,
                        const char *what)
{
    unsigned wrong = 0, directs = 0, indirects = 0;
    struct unreached_result result;
    for (unsigned round = 0; round < rounds; round++) {
        make_blocks(2 + (unsigned)draw(BLOCKS_MAX - 2), wanted, kinds);
        /* From forests to one tangle. */
        for (unsigned edges = (unsigned)draw(2 * count); edges; edges--)
            edge((unsigned)draw(count), (unsigned)draw(count));
        wrong += judge(draw(3) ? (unsigned)draw(count) : count, edge_limit, &result);
        directs += (unsigned)result.direct_objects;
        indirects += (unsigned)(result.unreached_samples - result.direct_objects);
        free_blocks();
    }
    ok(directs > rounds && indirects > rounds, "%s: %u direct, %u indirect in %u graphs", what,
       directs, indirects, rounds);
    is(wrong, 0, "%s: each as the matrix says", what);
}

static void test_shapes(void)
{
    static const size_t one[] = {64};
    struct unreached_result r;
    make_blocks(100, one, 1);
    for (unsigned i = 99; i > 0; i--)
        edge(i, i - 1); /* downwards: the first pass meets the last first */
    ok(judge(count, 1 << 16, &r) == 0 && r.direct_objects == 1, "a list is one direct");
    free_blocks();
    make_blocks(100, one, 1);
    for (unsigned i = 0; i < 100; i++)
        edge(i, (i + 1) % 100);
    ok(judge(count, 1 << 16, &r) == 0 && r.direct_objects == 1, "a ring is one direct");
    free_blocks();
    make_blocks(100, one, 1);
    for (unsigned i = 0; i < 100; i++)
        edge(i, i);
    ok(judge(count, 1 << 16, &r) == 0 && r.direct_objects == 100,
       "blocks that point at themselves are direct");
    free_blocks();
    make_blocks(100, one, 1);
    for (unsigned i = 0; i < 99; i++) {
        ((void **)blocks[i])[0] = blocks[i + 1];
        ((void **)blocks[i + 1])[1] = blocks[i];
    }
    ok(judge(50, 1 << 16, &r) == 0 && r.unreached_samples == 0,
       "a double list with a root in the middle has none");
    free_blocks();
    make_blocks(4, one, 1);
    ((void **)blocks[0])[0] = blocks[3]; /* leaked, points at what is alive */
    ok(judge(3, 1 << 16, &r) == 0 && r.direct_objects == 1 + 2,
       "what is alive is no part of a leak that points at it");
    free_blocks();
}

/* What the table says after each of several cycles. */
static void test_flags(void)
{
    uint64_t a = live_add_locked(0x10000, 0, 1024, 1, false);
    uint64_t b = live_add_locked(0x10010, 0, 1024, 1, false);
    struct md_sample *table = segment_table(MD_SECTION_SAMPLES), out;
    uint32_t i = (uint32_t)a - 1, j = (uint32_t)b - 1;
    uint64_t moment = live_moment(1);
    const uint32_t direct = MD_SAMPLE_UNREACHED, indirect = direct | MD_SAMPLE_INDIRECT;
    ok(!live_flag_locked(i, direct, moment) && table[i].flags == direct, "unreached once: no leak");
    ok(!live_flag_locked(i, direct | MD_SAMPLE_LEAK, moment) && table[i].flags == direct,
       "still once, if there was no look");
    ok(!live_flag_locked(j, 0, moment) && table[j].flags == 0, "reached: nothing");
    ok(live_flag_locked(i, indirect, moment) && table[i].flags == (indirect | MD_SAMPLE_LEAK),
       "unreached twice: a leak");
    ok(live_flag_locked(i, direct, moment) && table[i].flags == (direct | MD_SAMPLE_LEAK),
       "direct by now");
    ok(live_flag_locked(i, direct | MD_SAMPLE_LEAK, moment) &&
           table[i].flags == (direct | MD_SAMPLE_LEAK),
       "still a leak, if there was no look");
    ok(!live_flag_locked(i, 0, moment) && table[i].flags == 0, "reachable again: nothing");
    ok(!live_flag_locked(i, direct, moment) && table[i].flags == direct, "and from the start");
    uint64_t c = live_add_locked(0x10020, 0, 1024, 1, false);
    ok(!live_flag_locked((uint32_t)c - 1, direct, moment) && table[(uint32_t)c - 1].flags == 0,
       "a sample taken since, in the same tenth of a second: not judged");
    live_remove_locked(b, &out);
    uint64_t again = live_add_locked(0x10010, 0, 1024, 1, false);
    ok((uint32_t)again == (uint32_t)b && !live_flag_locked(j, direct, moment) &&
           table[j].flags == 0,
       "nor one in the place of one that was freed");
    live_remove_locked(again, &out);
    ok(!live_flag_locked(j, direct, moment), "nor a place that is free");
    /* Numbers wrap; time tells. */
    table[i].generation = (uint32_t)moment + 1000000000;
    table[i].born_ds = 10;
    live_flag_locked(i, direct, (uint64_t)100 << 32 | (uint32_t)moment);
    ok(table[i].flags & direct, "an old sample is old whatever its number");
    table[i].flags = 0;
    table[i].born_ds = 200;
    live_flag_locked(i, direct, (uint64_t)100 << 32 | (uint32_t)moment);
    ok(table[i].flags == 0, "a young one young");
}

/* Cycles over blocks of which some are found again, some are freed, some have a sample: what two in
 * a row have not reached is counted, and of that by class what no sample names. */
static void test_counted(const size_t *wanted, unsigned kinds, const char *what)
{
    static struct heap_index index;
    static struct mark mark;
    static uintptr_t roots[BLOCKS_MAX];
    struct unreached_result result;
    bool before[BLOCKS_MAX] = {false};
    unsigned wrong = 0, leaks = 0, unsampled = 0, kept = 0;
    make_blocks(BLOCKS_MAX, wanted, kinds);
    struct md_sample *table = segment_table(MD_SECTION_SAMPLES), out;
    for (unsigned i = 0; i < count; i++)
        if (i % 3)
            live_remove_locked(handles[i], &out);
    unreached_postfork_child();
    for (unsigned cycle = 0; cycle < 40; cycle++) {
        struct unreached_class lost[OBJECT_CLASS_HUGE + 1] = {0},
                                                        leaked[OBJECT_CLASS_HUGE + 1] = {0};
        uint64_t objects = 0, bytes = 0;
        bool told = draw(4) != 0;
        wrong += unreached_prepare() != NULL || unreached_had_before() != (kept > 0);
        if (!heap_index_build(&index, NULL) || !mark_init(&mark, &index, 1 << 16))
            __builtin_trap();
        for (unsigned i = 0; i < count; i++) {
            alive[i] = draw(3) == 0;
            roots[i] = alive[i] ? (uintptr_t)blocks[i] : 0;
        }
        mark_from(&mark, (uintptr_t)roots, (uintptr_t)(roots + count));
        mark_finish(&mark);
        wrong += !unreached_find(&mark, false, &result);
        for (unsigned i = 0; i < count; i++) {
            unsigned class = *object_byte(blocks[i]);
            bool leak = !alive[i] && before[i];
            objects += leak;
            bytes += leak ? sizes[i] : 0;
            if (i % 3) {
                lost[class].objects += !alive[i];
                lost[class].bytes += alive[i] ? 0 : sizes[i];
                leaked[class].objects += leak;
                leaked[class].bytes += leak ? sizes[i] : 0;
                unsampled += leak;
            }
            if (told) {
                before[i] = !alive[i];
                if (i % 3 == 0)
                    table[(uint32_t)handles[i] - 1].flags = alive[i] ? 0 : MD_SAMPLE_UNREACHED;
            }
        }
        leaks += (unsigned)objects;
        wrong += result.leaked_objects != objects || result.leaked_bytes != bytes;
        wrong += memcmp(unreached_unsampled(false), lost, sizeof lost) != 0;
        wrong += memcmp(unreached_unsampled(true), leaked, sizeof leaked) != 0;
        if (told)
            unreached_keep();
        else
            unreached_drop();
        kept += told;
        mark_free(&mark);
        heap_index_free(&index);
        /* One goes, and another comes to its address: of another size, or sampled. */
        unsigned i = (unsigned)draw(count);
        uint8_t *byte = object_byte(blocks[i]);
        if (i % 3 == 0) {
            live_remove_locked(handles[i], &out);
            handles[i] = live_add_locked((uintptr_t)blocks[i], 0, 1024, 0, false);
        } else if (*byte > object_small_classes) {
            *byte = (uint8_t)(*byte == object_class_of(16384) ? *byte : *byte - 1);
            if (sizes[i] == object_class_size[*byte])
                continue;
            sizes[i] = object_class_size[*byte];
        } else {
            continue;
        }
        before[i] = false;
    }
    ok(wrong == 0 && leaks > 500 && unsampled > 300,
       "%s: %u leaks in 40 cycles, %u of them without a sample, %u wrong", what, leaks, unsampled,
       wrong);
    unreached_postfork_child();
    ok(!unreached_had_before(), "a forked copy begins anew");
    free_blocks();
}

int main(void)
{
    static const size_t small[] = {16, 32, 48, 64, 112, 384};
    static const size_t large[] = {16, 64, 1024, 14336, 40000, 300000};
    ok(th_init(NULL), "set up");
    proc_open(false);
    pagemap_open();
    test_shapes();
    test_random(200, small, 6, 1 << 16, "small blocks");
    test_random(12, large, 6, 1 << 16, "large blocks");
    test_random(5, large, 6, 0, "no room on the stack");
    test_counted(small, 6, "small blocks");
    test_counted(large, 6, "large blocks");
    test_flags();
    return tap_done();
}
