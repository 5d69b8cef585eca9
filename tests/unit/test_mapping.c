/* The mappings of the mmap kind against an independent truth: a map of pages, each with the call
 * that mapped it.  What a bucket says is still mapped must be what that has of its pages, to the
 * byte. */
#include "base/options.h"
#include "base/os.h"
#include "base/rng.h"
#include "memdebug/segment.h"
#include "prof/mapping.h"
#include "prof/prof.h"
#include "prof/record.h"
#include "segment/segment.h"
#include "tap.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 4096u
#define AT(page) ((uintptr_t)0x100000000000 + (uintptr_t)(page)*OS_PAGE)

static uint64_t expected_mmap, expected_gone;
static uint8_t mapped[PAGES];

static const struct md_bucket *buckets(void)
{
    return segment_table(MD_SECTION_BUCKETS);
}

/* Over all stacks: this program's calls have few, and which is no matter here. */
static uint64_t sum_of(unsigned value)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < segment_count(MD_SECTION_BUCKETS); i++)
        if (buckets()[i].kind == MD_BUCKET_MMAP)
            sum += buckets()[i].value[value];
    return sum;
}

/* Pages that the records have, each once, or -1 where two overlap or one is empty. */
static long recorded_pages(void)
{
    static uint8_t seen[PAGES];
    const struct md_mapping *m = segment_table(MD_SECTION_MAPPINGS);
    long pages = 0;
    memset(seen, 0, sizeof seen);
    for (uint64_t i = 0; i < segment_count(MD_SECTION_MAPPINGS); i++) {
        if (!m[i].start)
            continue;
        if (m[i].start >= m[i].limit)
            return -1;
        for (uintptr_t at = m[i].start; at < m[i].limit; at += OS_PAGE, pages++) {
            size_t page = (at - AT(0)) / OS_PAGE;
            if (page >= PAGES || seen[page]++ || !mapped[page])
                return -1;
        }
    }
    return pages;
}

static long mapped_pages(void)
{
    long pages = 0;
    for (unsigned i = 0; i < PAGES; i++)
        pages += mapped[i];
    return pages;
}

static void unmap(unsigned from, unsigned count)
{
    for (unsigned i = from; i < from + count; i++) {
        expected_gone += mapped[i] * OS_PAGE;
        mapped[i] = 0;
    }
}

static void test_random(void)
{
    struct rng rng;
    unsigned wrong = 0;
    rng_seed(&rng, 7);
    for (int round = 0; round < 20000; round++) {
        unsigned from = (unsigned)(rng_next(&rng) % PAGES);
        unsigned count = 1 + (unsigned)(rng_next(&rng) % (round % 10 ? 16 : 400));
        if (from + count > PAGES)
            count = PAGES - from;
        unmap(from, count);
        if (rng_next(&rng) % 2) {
            mapping_add(AT(from), count * OS_PAGE - rng_next(&rng) % OS_PAGE,
                        MD_LABEL_MMAP_ANONYMOUS);
            expected_mmap += count * OS_PAGE;
            memset(mapped + from, 1, count);
        } else {
            mapping_remove(AT(from), count * OS_PAGE, mapping_moment());
        }
        if (round % 500 == 0)
            wrong += recorded_pages() != mapped_pages();
    }
    ok(wrong == 0 && recorded_pages() == mapped_pages(), "%ld pages of %u are mapped, each once",
       mapped_pages(), PAGES);
    is(sum_of(MD_MMAP_BYTES), expected_mmap, "all that was mapped");
    is(sum_of(MD_MMAP_GONE_BYTES), expected_gone, "all that was unmapped");
    is(sum_of(MD_MMAP_BYTES) - sum_of(MD_MMAP_GONE_BYTES), (uint64_t)mapped_pages() * OS_PAGE,
       "the difference is what there is");
    is(segment_counters()->lost_mappings, 0, "nothing was lost");
}

/* Between an unmapping call and its record another thread may have been given the addresses. */
static void test_order(void)
{
    mapping_remove(AT(0), PAGES * OS_PAGE, mapping_moment());
    memset(mapped, 0, sizeof mapped);
    mapping_add(AT(10), 4 * OS_PAGE, MD_LABEL_MMAP_ANONYMOUS);
    uint64_t moment = mapping_moment();
    mapping_add(AT(12), 4 * OS_PAGE, MD_LABEL_MMAP_ANONYMOUS); /* that thread's */
    mapping_remove(AT(10), 4 * OS_PAGE, moment);
    memset(mapped + 12, 1, 4);
    is(recorded_pages(), 4, "what was mapped since the call began stays");
    mapping_remove(AT(0), PAGES * OS_PAGE, mapping_moment());
    memset(mapped, 0, sizeof mapped);
    is(recorded_pages(), 0, "and goes by a later one");
}

static void test_not_recorded(void)
{
    uint64_t before = sum_of(MD_MMAP_BYTES), lost = segment_counters()->lost_mappings;
    own_thread = true;
    mapping_add(AT(1), OS_PAGE, MD_LABEL_MMAP_ANONYMOUS);
    own_thread = false;
    ok(sum_of(MD_MMAP_BYTES) == before && segment_counters()->lost_mappings == lost,
       "a thread of ours maps for us");
    mapping_add(UINTPTR_MAX - 100, 4096, MD_LABEL_MMAP_ANONYMOUS);
    ok(sum_of(MD_MMAP_BYTES) == before, "a range beyond the end is none");
}

/* As a signal handler that comes in the middle of a record. */
static void test_put_aside(void)
{
    uint64_t before = sum_of(MD_MMAP_BYTES), lost = segment_counters()->lost_mappings;
    prof_thread.busy = true;
    mapping_add(AT(1), 4 * OS_PAGE, MD_LABEL_MMAP_FILE);
    mapping_remove(AT(2), OS_PAGE, mapping_moment());
    prof_thread.busy = false;
    is(sum_of(MD_MMAP_BYTES), before, "in the middle of another record nothing is recorded");
    memset(mapped + 1, 1, 4);
    mapped[2] = 0;
    record_deferred();
    ok(sum_of(MD_MMAP_BYTES) == before + 4 * OS_PAGE && recorded_pages() == 3,
       "but after it, in its order");
    enum md_label what;
    ok(mapping_has(AT(1), &what) && what == MD_LABEL_MMAP_FILE, "with what it was");

    unsigned calls = 10000;
    prof_thread.busy = true;
    for (unsigned i = 0; i < calls; i++)
        mapping_add(AT(10), OS_PAGE, MD_LABEL_MMAP_ANONYMOUS);
    prof_thread.busy = false;
    uint64_t more = segment_counters()->lost_mappings - lost;
    mapping_remove(AT(0), PAGES * OS_PAGE, mapping_moment()); /* and then what was put aside */
    uint64_t done = (sum_of(MD_MMAP_BYTES) - before) / OS_PAGE - 4;
    ok(more > 0 && done > 100 && more + done == calls,
       "where there is no room that is counted: %lu of %u done, %lu lost", done, calls, more);
    mapping_remove(AT(0), PAGES * OS_PAGE, mapping_moment());
    memset(mapped, 0, sizeof mapped);
    is(recorded_pages(), 0, "and all of it goes");
}

static void *put_removals(void *count)
{
    prof_thread.busy = true;
    for (uintptr_t i = 0; i < (uintptr_t)count; i++)
        mapping_remove(AT(1), 4 * OS_PAGE, mapping_moment());
    return NULL;
}

/* The rings of other threads are looked at before that of this one, whose is the oldest. */
static void remove_elsewhere(unsigned threads, uintptr_t count)
{
    prof_thread.busy = true;
    mapping_add(AT(1), 4 * OS_PAGE, MD_LABEL_MMAP_FILE);
    while (threads--) {
        pthread_t thread;
        pthread_create(&thread, NULL, put_removals, (void *)count);
        pthread_join(thread, NULL);
    }
    prof_thread.busy = false;
    record_deferred();
}

/* What one thread's handler maps another's unmaps, and is put aside behind it. */
static void test_put_aside_by_two(void)
{
    uint64_t before = sum_of(MD_MMAP_BYTES), lost = segment_counters()->lost_mappings;
    remove_elsewhere(1, 1);
    ok(sum_of(MD_MMAP_BYTES) == before + 4 * OS_PAGE && recorded_pages() == 0 &&
           segment_counters()->lost_mappings == lost,
       "what has been unmapped before its record came is gone with that");
    mapping_add(AT(1), OS_PAGE, MD_LABEL_MMAP_FILE);
    mapped[1] = 1;
    record_deferred();
    is(recorded_pages(), 1, "what comes later stays");
    mapping_remove(AT(0), PAGES * OS_PAGE, mapping_moment());
    remove_elsewhere(3, 500);
    is(segment_counters()->lost_mappings, lost + 1, "of too many that is counted");
    mapping_remove(AT(0), PAGES * OS_PAGE, mapping_moment());
    mapped[1] = 0;
}

static bool closing, closed; /* atomic */

/* As in dlclose. */
static void *close_library(void *unused)
{
    prof_thread.busy = true; /* what has been put aside stays so */
    prof_before_close();
    __atomic_store_n(&closing, true, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&closed, __ATOMIC_ACQUIRE))
        usleep(1000);
    prof_after_close();
    return unused;
}

static unsigned deferred;
static uint32_t deferred_stack;

static void note_deferred(const struct ring_record *record, uint32_t stack)
{
    (void)record;
    deferred++;
    deferred_stack = stack;
}

static void put_stack(uint64_t first)
{
    uint64_t pcs[2] = {first, (uintptr_t)put_stack + 1};
    ring_put(&(struct ring_record){.kind = MD_BUCKET_HEAP, .depth = 2}, pcs);
}

/* A stack that has been put aside keeps no library loaded: where one is being unmapped, nothing of
 * what the stack leads to is read. */
static void test_put_aside_beside_dlclose(void)
{
    pthread_t thread;
    uint64_t lost = segment_counters()->lost_stacks;
    uintptr_t code = (uintptr_t)put_stack;
    record_deferred_locked[MD_BUCKET_HEAP] = note_deferred;
    put_stack(code + 2);
    pthread_create(&thread, NULL, close_library, NULL);
    while (!__atomic_load_n(&closing, __ATOMIC_ACQUIRE))
        usleep(1000);
    record_deferred();
    ok(deferred == 1 && !deferred_stack && segment_counters()->lost_stacks == lost + 1,
       "while a library is being closed a stack is not looked at that was put aside");
    __atomic_store_n(&closed, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    put_stack(code + 3);
    prof_before_close();
    ok(deferred == 2 && deferred_stack, "before one is closed what was put aside is done");
    put_stack(code + 4);
    record_deferred();
    ok(deferred == 3 && deferred_stack, "what this very thread closes stays until it is back");
    prof_after_close();
    is(segment_counters()->lost_stacks, lost + 1, "the stacks are known");
    record_deferred_locked[MD_BUCKET_HEAP] = NULL;
}

static uint64_t handled; /* atomic */

static void map_in_handler(int signal)
{
    (void)signal;
    uintptr_t page = AT(3000 + handled++ % 60);
    mapping_add(page, 4 * OS_PAGE, MD_LABEL_MMAP_ANONYMOUS);
    mapping_remove(page, 4 * OS_PAGE, mapping_moment());
}

/* A handler that maps, in the middle of records or not. */
static void test_handler(void)
{
    uint64_t before = sum_of(MD_MMAP_BYTES), calls = 0, lost = segment_counters()->lost_mappings;
    /* One at a time, else those that a slow machine puts aside fill the ring. */
    struct itimerval once = {{0, 0}, {0, 50}};
    signal(SIGALRM, map_in_handler);
    for (uint64_t seen = UINT64_MAX, now;
         (now = __atomic_load_n(&handled, __ATOMIC_RELAXED)) < 2000;) {
        if (now != seen)
            setitimer(ITIMER_REAL, &once, NULL);
        seen = now;
        uintptr_t page = AT(calls++ % 60);
        mapping_add(page, 4 * OS_PAGE, MD_LABEL_MMAP_ANONYMOUS);
        mapping_remove(page, 4 * OS_PAGE, mapping_moment());
    }
    record_deferred();
    is(sum_of(MD_MMAP_BYTES) - before, (calls + handled) * 4 * OS_PAGE,
       "all that a handler has mapped is recorded");
    ok(recorded_pages() == 0 && segment_counters()->lost_mappings == lost, "and nothing is lost");
}

/* A thread's stack whose pages are gone without a call that was seen. */
static void test_stacks(void)
{
    char *there =
        mmap(NULL, 8 * OS_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t gone = sum_of(MD_MMAP_GONE_BYTES);
    mapping_add((uintptr_t)there, 4 * OS_PAGE, MD_LABEL_MMAP_STACK);
    mapping_add((uintptr_t)there + 4 * OS_PAGE, 4 * OS_PAGE, MD_LABEL_MMAP_STACK);
    mapping_sweep_stacks();
    is(sum_of(MD_MMAP_GONE_BYTES), gone, "stacks that are there stay");
    munmap(there + 4 * OS_PAGE, 4 * OS_PAGE);
    mapping_sweep_stacks();
    is(sum_of(MD_MMAP_GONE_BYTES), gone + 4 * OS_PAGE, "one that is not goes");
    mapping_remove((uintptr_t)there, 8 * OS_PAGE, mapping_moment());
    is(sum_of(MD_MMAP_GONE_BYTES), gone + 8 * OS_PAGE, "and the other by its call");
}

static void *mapper(void *number)
{
    for (int i = 0; i < 3000; i++) {
        uintptr_t page = AT((uintptr_t)number * 64 + (unsigned)i % 60);
        mapping_add(page, 4 * OS_PAGE, MD_LABEL_MMAP_ANONYMOUS);
        mapping_remove(page, 4 * OS_PAGE, mapping_moment());
    }
    return NULL;
}

static void test_threads(void)
{
    pthread_t thread[4];
    for (uintptr_t i = 0; i < 4; i++)
        pthread_create(&thread[i], NULL, mapper, (void *)i);
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    ok(recorded_pages() == 0 && sum_of(MD_MMAP_BYTES) == sum_of(MD_MMAP_GONE_BYTES),
       "of four threads nothing is left over");
}

static void test_fork(void)
{
    if (tap_emulated("a forked copy has its parent's", "MADV_WIPEONFORK"))
        return;
    mapping_add(AT(1), 3 * OS_PAGE, MD_LABEL_MMAP_ANONYMOUS);
    mapping_add(AT(8), 2 * OS_PAGE, MD_LABEL_MMAP_STACK);
    memset(mapped + 1, 1, 3);
    memset(mapped + 8, 1, 2);
    prof_thread.busy = true; /* forked by a handler in the middle of a record */
    mapping_add(AT(20), OS_PAGE, MD_LABEL_MMAP_ANONYMOUS);
    prof_thread.busy = false;
    mapped[20] = 1;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        bool begins = segment_check();
        record_deferred();
        const struct md_mapping *m = segment_table(MD_SECTION_MAPPINGS);
        bool is_inherited = m[0].flags & MD_MAPPING_INHERITED;
        bool all = recorded_pages() == 6 && sum_of(MD_MMAP_BYTES) == 6 * OS_PAGE &&
                   sum_of(MD_MMAP_GONE_BYTES) == 0;
        mapping_remove(AT(0), 32 * OS_PAGE, mapping_moment());
        _exit(begins && is_inherited && all && recorded_pages() == 0 ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    is(status, 0, "a forked copy has its parent's, and goes on with them");
    record_deferred();
    is(recorded_pages(), 6, "and the parent has them too");
}

int main(void)
{
    /* Stacks are no matter here, and libunwind none for sanitizers. */
    char text[] = "monitor=off,unwind=fp";
    options_parse(text);
    if (!segment_init(0))
        return 1;
    prof_init();
    segment_on_fork = prof_inherit;
    mapping_add(AT(1), OS_PAGE, MD_LABEL_MMAP_ANONYMOUS);
    is(sum_of(MD_MMAP_BYTES), 0, "before it begins nothing is recorded");
    mapping_begin();
    test_random();
    test_order();
    test_not_recorded();
    test_put_aside();
    test_put_aside_by_two();
    test_put_aside_beside_dlclose();
    test_handler();
    test_stacks();
    test_threads();
    test_fork();
    return tap_done();
}
