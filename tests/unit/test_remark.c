/* Marking beside a program: what is written, freed, born and resized after the index was built;
 * which pages count as written. */
#include "gc_heap.h"
#include "tap.h"

#include "gc/dirty/dirty_scan.h"
#include "gc/dirty/remark.h"
#include "gc/dirty/track.h"
#include "gc/sys/pagemap.h"
#include "gc/sys/proc.h"
#include "gc/sys/raw.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

struct pair {
    struct pair *next;
    void *other;
};

static struct heap_index index_now;
static struct mark mark;

static void begin(void)
{
    memset(&index_now, 0, sizeof index_now);
    if (!heap_index_build(&index_now, NULL) || !mark_init(&mark, &index_now, 65536))
        __builtin_trap();
}

static void end(void)
{
    mark_free(&mark);
    heap_index_free(&index_now);
}

static bool is_white(void *block)
{
    return *index_white(&index_now, (uintptr_t)block) & index_white_bit((uintptr_t)block);
}

/* Looks at the pages of a block as if they had been written to. */
static uint64_t look_at(void *block, size_t size)
{
    struct remark remark;
    remark_begin(&remark, &mark);
    for (unsigned i = 0; i < extent_count; i++)
        if ((uintptr_t)block - extents[i].start < extents[i].end - extents[i].start) {
            remark_extent(&remark, extents[i]);
            remark_pages(&remark, (uintptr_t)block & ~(uintptr_t)4095,
                         ((uintptr_t)block + size + 4095) & ~(uintptr_t)4095);
        }
    remark_end(&remark);
    mark_finish(&mark);
    return remark.bytes;
}

static void map_changed(void *block)
{
    uintptr_t page = (uintptr_t)object_byte(block) & ~(uintptr_t)4095;
    remark_map(&mark, page, page + 4096);
    mark_finish(&mark);
}

static void reach(void *block)
{
    void *word = block;
    mark_from(&mark, (uintptr_t)&word, (uintptr_t)(&word + 1));
    mark_finish(&mark);
}

static void test_blocks(size_t size)
{
    struct pair *black = th_alloc(size), *white = th_alloc(size), *target = th_alloc(64),
                *other = th_alloc(64), *third = th_alloc(64);
    struct pair *freed = th_alloc(size);
    begin();
    reach(black);
    ok(!is_white(black) && is_white(white) && is_white(target), "%zu: one is reached", size);
    black->next = target;
    white->next = other;
    freed->next = third;
    th_free(freed);
    look_at(black, size);
    look_at(white, size);
    look_at(freed, size);
    ok(!is_white(target), "%zu: what a reached block points at now is reached", size);
    ok(is_white(other), "%zu: what an unreached one points at is not", size);
    ok(is_white(third), "%zu: nor what a freed one points at", size);
    reach(white);
    ok(!is_white(other), "%zu: it is when that is reached", size);
    map_changed(freed);
    ok(!is_white(freed), "%zu: a freed block is unreachable no more", size);
    end();
    th_free(black), th_free(white), th_free(target), th_free(other), th_free(third);
}

static void test_born(size_t size)
{
    struct pair *target = th_alloc(48), *last = th_alloc(48), *middle = th_alloc(48);
    begin();
    struct pair *born = th_alloc(size);
    uintptr_t *words = (uintptr_t *)born;
    words[0] = (uintptr_t)target;
    words[size / 16] = (uintptr_t)middle;
    words[size / 8 - 1] = (uintptr_t)last;
    look_at(born, size);
    ok(!is_white(target) && !is_white(middle) && !is_white(last),
       "%zu: a block born since is looked into, all of it", size);
    memset(born, 0, size);
    th_free(born), th_free(target), th_free(last), th_free(middle);
    end();
}

/* One block of two pages, of which the second alone has been written to. */
static void test_second_page(size_t size)
{
    struct pair *target = th_alloc(48);
    uintptr_t *words = th_alloc(size);
    memset(words, 0, size);
    begin();
    reach(words);
    words[size / 8 - 1] = (uintptr_t)target;
    look_at((char *)words + size - 8, 8);
    ok(!is_white(target), "%zu: the last page of a reached block", size);
    end();
    begin();
    look_at((char *)words + size - 8, 8);
    ok(is_white(target), "%zu: and of an unreached one", size);
    end();
    words[size / 8 - 1] = 0;
    th_free(words), th_free(target);
}

/* Of pages that are noted as reached none holds a part of an unreached block. */
static void test_noted(size_t size)
{
    enum { COUNT = 64 };
    char *blocks[COUNT];
    unsigned lost = 0;
    for (unsigned i = 0; i < COUNT; i++)
        memset(blocks[i] = th_alloc(size), 0, size);
    begin();
    for (unsigned i = 0; i < COUNT; i += 2)
        reach(blocks[i]);
    mark_note_reached(&mark);
    for (unsigned i = 1; i < COUNT; i += 2) {
        reach(blocks[i] + (i & 2 ? size - 8 : size / 2));
        lost += is_white(blocks[i]);
    }
    is(lost, 0, "%zu: a word into an unreached block is followed, whatever page it points at",
       size);
    mark_note_reached(&mark);
    unsigned noted = 0;
    for (unsigned i = 0; i < COUNT; i++)
        noted += mark.page_state[index_number(&index_now, (uintptr_t)blocks[i])] == PAGE_REACHED;
    is(noted, COUNT, "%zu: then all are noted", size);
    end();
    for (unsigned i = 0; i < COUNT; i++)
        th_free(blocks[i]);
}

static void test_resized(void)
{
    struct pair *block = th_alloc(65536), *target = th_alloc(48);
    memset(block, 0, 65536);
    block->other = target;
    begin();
    *object_byte(block) = (uint8_t)object_class_of(131072); /* grown in place */
    map_changed(block);
    ok(!is_white(block) && !is_white(target), "a block that has been resized lives");
    end();
    *object_byte(block) = (uint8_t)object_class_of(65536);
    th_free(block), th_free(target);
}

/* ---- pages ---- */

static uintptr_t seen[64];
static unsigned seen_count;

static void note_page(void *ctx, uintptr_t start, uintptr_t until)
{
    (void)ctx;
    for (; start < until && seen_count < 64; start += 4096)
        seen[seen_count++] = start;
}

static unsigned dirty(char *map, size_t size, bool rearm)
{
    seen_count = 0;
    pagemap_each_dirty((uintptr_t)map, (uintptr_t)map + size, rearm, note_page, NULL);
    return seen_count;
}

static void test_tracking(void)
{
    uint64_t all = ~UINT64_C(0), before;
    raw_sigmask(SIG_SETMASK, &all, &before); /* as the tracer */
    const char *reason = track_open();
    raw_sigmask(SIG_SETMASK, &before, NULL);
    if (reason) {
        tap_print("ok %d - write tracking # SKIP %s", ++tap_count, reason);
        return;
    }
    size_t size = 1 << 20;
    char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(map, 1, size / 2);
    char *heap = th_alloc(1 << 20);
    memset(heap, 1, 1 << 20);
    extents_pin();
    ok(!track_arm(), "everything is armed");
    unsigned found = 0;
    for (unsigned i = 0; i < track.count; i++)
        found += track.ranges[i].start <= (uintptr_t)map &&
                 (uintptr_t)map + size <= track.ranges[i].end && i >= track.first_root;
    is(found, 1, "a mapping of the program's among it");
    is(dirty(map, size, false), 0, "nothing has been written to");
    map[4096 * 3] = 2;
    map[4096 * 200] = 2; /* not there before */
    heap[8192] = 2;
    is(dirty(map, size, false), 2, "two pages are, one of them new");
    ok(seen[0] == (uintptr_t)map + 4096 * 3 && seen[1] == (uintptr_t)map + 4096 * 200, "these");
    is(dirty((char *)((uintptr_t)heap & ~(uintptr_t)4095), 1 << 20, true), 1,
       "and one of the heap");
    is(dirty((char *)((uintptr_t)heap & ~(uintptr_t)4095), 1 << 20, true), 0, "once");
    int ends[2];
    if (pipe(ends) == 0 && write(ends[1], "x", 1) == 1 && read(ends[0], map + 4096 * 150, 1) == 1)
        is(dirty(map, size, true), 3, "what the kernel writes counts");
    madvise(map, 4096 * 100, MADV_DONTNEED);
    is(dirty(map, size, false), 0, "pages given back have nothing to look at");
    map[4096 * 110] = 2;
    is(dirty(map, size, false), 1, "what is written to beside them has");
    dirty(map, size, true);
    ok(mmap(map, size / 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
            0) == map,
       "another mapping in its place");
    map[0] = 1;
    seen_count = 0;
    pagemap_each_untracked((uintptr_t)map, (uintptr_t)map + size, note_page, NULL);
    ok(seen_count == 1 && seen[0] == (uintptr_t)map, "is looked at whole");
    ok(!track_arm() && dirty(map, size, false) == 0, "until it is armed in its turn");
    memset(map + size / 2, 1, 65536);
    dirty(map, size, true);
    char *moved = mremap(map + size / 2, 65536, 65536, MREMAP_MAYMOVE | MREMAP_FIXED,
                         mmap(NULL, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    moved[0] = 1;
    seen_count = 0;
    pagemap_each_untracked((uintptr_t)moved, (uintptr_t)moved + 65536, note_page, NULL);
    is(seen_count, 16, "one that has moved is looked at whole, whatever its pages say");
    extents_unpin();
}

/* Whether a mapping that begins right behind one without access is tracked. */
static bool tracked_behind(int flags)
{
    size_t size = 1 << 20;
    char *map = mmap(NULL, 2 * size, PROT_NONE, flags | MAP_ANONYMOUS, -1, 0);
    char *behind = mmap(map + size, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    memset(behind, 1, size);
    extents_pin();
    bool tracked = false, armed = !track_arm();
    for (unsigned i = track.first_root; i < track.count; i++)
        tracked |= track.ranges[i].start <= (uintptr_t)behind &&
                   (uintptr_t)behind + size <= track.ranges[i].end;
    track_disarm();
    extents_unpin();
    munmap(map, 2 * size);
    return armed && tracked;
}

static void test_guards(void)
{
    const char *reason = track_open();
    if (reason) {
        tap_print("ok %d - what lies behind a guard # SKIP %s", ++tap_count, reason);
        return;
    }
    ok(!tracked_behind(MAP_PRIVATE),
       "what lies behind a guard is left to the stop: it may be a stack");
    ok(tracked_behind(MAP_SHARED), "no stack has shared memory for a guard");
}

/* A block that is born, and filled, after the search for the start of one has gone by its place. */
static void test_born_between(void)
{
    size_t size = 1 << 20;
    uintptr_t block = (uintptr_t)th_map(size), last = block + size - 4096;
    struct pair *target = th_alloc(48);
    struct remark remark;
    const char *reason = track_open();
    if (reason) {
        tap_print("ok %d - a block born between two searches # SKIP %s", ++tap_count, reason);
        return;
    }
    extents_pin();
    begin();
    ok(!track_arm(), "all is armed");
    remark_begin(&remark, &mark);
    for (unsigned i = 0; i < extent_count; i++)
        if (block - extents[i].start < extents[i].end - extents[i].start)
            remark_extent(&remark, extents[i]);
    remark_pages(&remark, block + size / 2, block + size / 2 + 4096);
    remark_end(&remark);
    is(remark.searched, block + size / 2, "no block up to here");
    *object_byte((void *)block) = (uint8_t)object_class_of(size);
    *(void **)(last + 4088) = target;
    pagemap_each_dirty_anonymous(last, last + 4096, true, remark_armed, remark_pages, &remark);
    remark_end(&remark);
    mark_finish(&mark);
    ok(!is_white(target),
       "one that is born before the next page is armed again is found from there");
    *object_byte((void *)block) = 0;
    track_disarm();
    end();
    extents_unpin();
    th_free(target);
}

static struct dirty_scan scan;
static uint32_t bell, helping;

/* As the tracer waits. */
static void *help(void *unused)
{
    while (__atomic_load_n(&helping, __ATOMIC_ACQUIRE)) {
        uint32_t heard = __atomic_load_n(&bell, __ATOMIC_ACQUIRE);
        dirty_scan_help(&scan, INT64_MAX);
        raw_futex_wait(&bell, heard, 1000000, 0);
    }
    return unused;
}

/* Written pages all over a heap that is large enough for two; in some rounds without room for all
 * that the other finds. */
static void test_two_at_once(void)
{
    struct pair *targets[64], **blocks[64];
    size_t size = (size_t)256 << 20;
    char *large[3];
    pthread_t helper;
    unsigned helped = 0, missed = 0, called_off = 0;
    const char *reason = track_open();
    if (reason) {
        tap_print("ok %d - two at once # SKIP %s", ++tap_count, reason);
        return;
    }
    dirty_scan_prepare(&scan, &bell);
    helping = 1;
    pthread_create(&helper, NULL, help, NULL);
    for (unsigned i = 0; i < 3; i++)
        large[i] = th_alloc(size);
    for (unsigned i = 0; i < 64; i++) {
        targets[i] = th_alloc(48);
        blocks[i] = (struct pair **)(large[i % 3] + size / 64 * i + 8192);
        *blocks[i] = NULL;
    }
    unsigned rounds = 0;
    /* On a busy machine the helper is seldom awake at the same time. */
    for (unsigned round = 0;
         round < 20 || (round < 1000 && os_cpu_count() > 1 && !(helped && missed && called_off));
         rounds = ++round) {
        extents_pin();
        scan.most = round % 4 >= 2 ? 3 : DIRTY_SCAN_RUNS;
        begin();
        for (unsigned i = 0; i < 3; i++)
            reach(large[i]);
        track_arm();
        for (unsigned i = 0; i < 64; i++)
            *blocks[i] = targets[i];
        struct remark remark;
        remark_begin(&remark, &mark);
        dirty_scan_offer(&scan, extents, extent_count, round & 1);
        dirty_scan_look(&scan, &remark);
        remark_end(&remark);
        mark_finish(&mark);
        unsigned reached = 0;
        for (unsigned i = 0; i < 64; i++)
            reached += !is_white(targets[i]);
        bool all_told = remark.bytes == 64 * 4096 || (scan.missed.end && remark.bytes > 64 * 4096);
        helped += scan.run_count > 0;
        missed += scan.missed.end > 0;
        if (reached != 64 || !all_told || round == 0)
            ok(reached == 64 && all_told, "two at once find %u of 64 written pages (%lu bytes)",
               reached, remark.bytes);
        scan.most = DIRTY_SCAN_RUNS;
        dirty_scan_offer(&scan, extents, extent_count, true);
        if (round % 3 == 0)
            usleep(100); /* the other is at work, perhaps */
        bool begun = __atomic_load_n(&scan.taken, __ATOMIC_RELAXED) > 0;
        dirty_scan_call_off(&scan);
        begun |= scan.run_count || scan.missed.end;
        called_off += !begun;
        remark_begin(&remark, &mark);
        dirty_scan_offer(&scan, extents, extent_count, false);
        dirty_scan_look(&scan, &remark);
        uint64_t left = round & 1 ? 0 : 64 * 4096;
        bool good = begun ? remark.bytes <= left : remark.bytes == left;
        if (!good || round < 2)
            ok(good, "once if they are armed again, a search called off (%s) or not: %lu of %lu",
               begun ? "begun" : "not begun", remark.bytes, left);
        for (unsigned i = 0; i < 64; i++)
            *blocks[i] = NULL;
        track_disarm();
        end();
        extents_unpin();
    }
    helping = 0;
    pthread_join(helper, NULL);
    if (os_cpu_count() > 1)
        ok(helped && missed && called_off,
           "the other found some in %u rounds of %u, too many for its list in %u", helped, rounds,
           missed);
    else
        tap_skip("what the other has found", "one CPU");
}

/* Threads that have called the stop off change the table of extents while it is read: none of it
 * holds what was found any more.  Nothing lies behind this one. */
static void test_changed_extents(void)
{
    size_t size = (size_t)256 << 20;
    const char *reason = track_open();
    dirty_scan_prepare(&scan, &bell);
    if (reason || !scan.helped) {
        tap_skip("extents that change under a search", reason ? reason : "one CPU");
        return;
    }
    char *large = th_alloc(size);
    char *table = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(table + 4096, 4096, PROT_NONE);
    extents_pin();
    begin();
    track_arm();
    large[size / 2] = 1;
    unsigned count = extent_count;
    struct extent *heap = (struct extent *)(table + 4096) - count;
    memcpy(heap, extents, count * sizeof *heap);
    struct remark remark;
    remark_begin(&remark, &mark);
    dirty_scan_offer(&scan, heap, count, false);
    dirty_scan_help(&scan, INT64_MAX);
    memset(heap, 0, count * sizeof *heap);
    dirty_scan_look(&scan, &remark);
    ok(scan.run_count > 0 && remark.bytes == 0, "extents that change under a search end it");
    track_disarm();
    end();
    extents_unpin();
    munmap(table, 8192);
    th_free(large);
}

int main(void)
{
    if (!th_init(NULL) || !proc_open(false))
        return 1;
    pagemap_open();
    test_blocks(32);
    test_blocks(80);
    test_blocks(6144);
    test_blocks(65536);
    test_born(16384);
    test_born(96);
    test_born(1 << 20);
    test_born(3584);
    test_second_page(12288);
    test_second_page(1 << 20);
    test_noted(112);
    test_noted(3584);
    test_noted(14336);
    test_noted(65536);
    test_resized();
    test_tracking();
    test_guards();
    test_born_between();
    test_two_at_once();
    test_changed_extents();
    return tap_done();
}
