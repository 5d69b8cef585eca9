/* The sampled profile: weights against libm, estimates against what was allocated, threads, and
 * what a forked copy takes over. */
#include "base/compiler.h"
#include "base/options.h"
#include "base/os.h"
#include "core_test.h"
#include "prof/pending.h"
#include "prof/prof.h"
#include "segment/segment.h"
#include "segment/tables.h"
#include "stack/unwind.h"
#include "sanitizers.h"
#include "tap.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

static void test_weight(void)
{
    double worst = 0;
    unsigned below = 0;
    for (unsigned i = 0; i < 200000; i++) {
        uint64_t rate = 2 + (draw(UINT64_MAX) >> (24 + draw(40)));
        size_t size = 1 + (draw(UINT64_MAX) >> (24 + draw(40)));
        double exact = MD_WEIGHT_ONE / -expm1(-(double)size / (double)rate);
        double got = (double)prof_weight(size, rate);
        double error = fabs(got - exact) - 0.5; /* it is rounded */
        worst = fmax(worst, error / exact);
        below += got < MD_WEIGHT_ONE;
    }
    ok(worst < 1e-8, "a weight is 1 / (1 - exp(-size / rate)): off by %g", worst);
    is(below, 0, "nothing stands for less than itself");
    is(prof_weight(16, 1), MD_WEIGHT_ONE, "at a rate of 1 each stands for itself");
    is(prof_weight(1 << 30, 512 << 10), MD_WEIGHT_ONE, "so does what is large against the rate");
    ok(prof_weight(8, UINT64_C(1) << 61) >= prof_weight(8, UINT64_C(1) << 50),
       "the largest rates there are");
}

/* What the segment says that size has: objects and bytes, as inuse.  Read as any reader of the
 * segment does, beside whoever samples. */
static void sums(uint64_t size, double *alloc_objects, double *inuse_objects, double *inuse_bytes)
{
    const struct md_bucket *b = segment_table(MD_SECTION_BUCKETS);
    uint64_t count =
        __atomic_load_n(&segment_header()->section[MD_SECTION_BUCKETS].count, __ATOMIC_ACQUIRE);
    *alloc_objects = *inuse_objects = *inuse_bytes = 0;
    for (uint64_t i = 0; i < count; i++)
        if (b[i].key == size) {
            uint64_t value[ARRAY_LENGTH(b[i].value)];
            for (unsigned k = 0; k < ARRAY_LENGTH(value); k++)
                value[k] = __atomic_load_n(&b[i].value[k], __ATOMIC_RELAXED);
            *alloc_objects += (double)value[MD_HEAP_ALLOC_OBJECTS] / MD_WEIGHT_ONE;
            *inuse_objects += (double)(value[MD_HEAP_ALLOC_OBJECTS] - value[MD_HEAP_FREE_OBJECTS]) /
                              MD_WEIGHT_ONE;
            *inuse_bytes += (double)(value[MD_HEAP_ALLOC_BYTES] - value[MD_HEAP_FREE_BYTES]);
        }
}

/* Allocates `count` of `size` as malloc does: a gap is counted down by bytes.  Made-up addresses.
 */
static unsigned play(uint64_t size, unsigned count, uint64_t *handles, unsigned most)
{
    unsigned samples = 0;
    int64_t left = (int64_t)prof_draw_gap();
    for (unsigned i = 0; i < count; i++) {
        left -= (int64_t)size;
        if (left > 0)
            continue;
        if (prof_wanted()) {
            uint64_t handle =
                prof_alloc((void *)(UINT64_C(0x10000000) + samples * 64), size, size, 0);
            if (handle && samples < most)
                handles[samples++] = handle;
        }
        left = (int64_t)prof_draw_gap();
    }
    return samples;
}

static void test_estimates(void)
{
    static uint64_t handles[60000];
    static const uint64_t sizes[] = {48, 1000, 9000, 70000};
    is(option_number(OPTION_MEMPROFILERATE), 8192, "a rate of 8 KiB");
    for (unsigned i = 0; i < 4; i++) {
        uint64_t size = sizes[i];
        unsigned count = (unsigned)(60000000 / size) + 1000;
        uint64_t before = segment_counters()->samples;
        unsigned samples = play(size, count, handles, 60000);
        double alloc, inuse, bytes, p = -expm1(-(double)size / 8192);
        double sd = sqrt(count * (1 - p) / p);
        sums(size, &alloc, &inuse, &bytes);
        is(segment_counters()->samples - before, samples, "%llu bytes: samples are counted",
           (unsigned long long)size);
        ok(fabs(inuse - count) < 5 * sd + 0.001 * count && alloc == inuse,
           "%llu bytes: %.0f of %u objects estimated, sd %.0f", (unsigned long long)size, inuse,
           count, sd);
        ok(fabs(bytes - inuse * (double)size) <= samples, "its bytes to match");
        for (unsigned k = 0; k < samples; k++)
            prof_free(handles[k]);
        for (unsigned k = 0; k < samples; k++)
            prof_free(handles[k]); /* again: no harm */
        sums(size, &alloc, &inuse, &bytes);
        ok(inuse == 0 && bytes == 0 && fabs(alloc - count) < 5 * sd + 0.001 * count,
           "all freed nothing is in use, and what was allocated stays");
    }
}

/* Objects under a rate that changes in the middle of gaps, some of which are drawn anew then, and
 * tolls that change from one object to the next.  Each object is sampled by the gap that it falls
 * into and the toll that it pays, so the variance is known as it goes (of a martingale). */
static void test_changing_rate(void)
{
    static const char *const rates[] = {"1KiB", "16KiB", "256", "4KiB", "2KiB"};
    static const uint64_t tolls[] = {1, 1, 8, 100, 1};
    enum { SIZE = 96, COUNT = 3000000, CHANGE = 7 };
    double variance = 0, alloc, inuse, bytes;
    int64_t left = (int64_t)prof_draw_gap();
    unsigned samples = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        if (i % CHANGE == 0) {
            option_set("memprofilerate", rates[i / CHANGE % 5]);
            if (i / CHANGE % 3 == 0)
                left = (int64_t)prof_draw_gap();
        }
        uint64_t toll = SIZE * tolls[i / 1000 % 5];
        double p = -expm1(-(double)toll / (double)prof_thread.gap_rate);
        variance += (1 - p) / p;
        left -= (int64_t)toll;
        if (left > 0)
            continue;
        samples += prof_alloc_at((void *)(UINT64_C(0x30000000) + 64u * samples), SIZE, toll);
        left = (int64_t)prof_draw_gap();
    }
    sums(SIZE, &alloc, &inuse, &bytes);
    double off = (alloc - COUNT) / sqrt(variance);
    ok(samples > 1000 && fabs(off) < 5 && inuse == alloc,
       "%.0f of %d objects by %u samples at changing rates: %+.1f standard errors", alloc, COUNT,
       samples, off);
    for (unsigned i = 0; i < samples; i++)
        prof_free_at((void *)(UINT64_C(0x30000000) + 64u * i));
    sums(SIZE, &alloc, &inuse, &bytes);
    ok(inuse == 0 && bytes == 0, "all of them freed");
    option_set("memprofilerate", "8KiB");
    prof_draw_gap();
}

static unsigned calls;

static void on_sample(void)
{
    calls++;
}

static void test_rules(void)
{
    double alloc, inuse, bytes;
    prof_on_sample = on_sample;
    errno = 77;
    uint64_t handle = prof_alloc(&calls, 333, 333, 0);
    ok(handle && calls == 1 && errno == 77, "a sample is told of, errno preserved");
    prof_on_sample = NULL;
    own_thread = true;
    is(prof_alloc(&calls, 333, 333, 0), 0, "no samples on threads of ours");
    own_thread = false;
    prof_thread.busy = true;
    is(prof_alloc(&calls, 333, 333, 0), 0, "nor inside the profiler");
    ok(!prof_wanted(), "nor are any wanted there");
    prof_thread.busy = false;
    is(option_set("memprofilerate", "0"), 0, "rate 0");
    ok(prof_draw_gap() == PROF_IDLE_GAP && !prof_wanted(), "is off, and looked at again");
    is(option_set("memprofilerate", "1"), 0, "rate 1");
    ok(prof_draw_gap() == 1 && prof_wanted(), "is every allocation");
    option_set("memprofilerate", "8KiB");
    prof_draw_gap();
    /* The stack of a sample is this function's, below others. */
    const struct md_bucket *b = segment_table(MD_SECTION_BUCKETS);
    uint32_t stack = 0;
    for (uint64_t i = 0; i < segment_header()->section[MD_SECTION_BUCKETS].count; i++)
        if (b[i].key == 333)
            stack = b[i].stack;
    /* By frame pointers only this program's frames are met, which count as the library's here. */
    ok(stack != 0 || WITH_TSAN, "a sample has its stack");
    prof_free(handle);
    prof_free(0);
    sums(333, &alloc, &inuse, &bytes);
    ok(alloc >= 1 && inuse == 0, "freed by its handle");
}

static void *work(void *argument)
{
    static _Thread_local uint64_t handles[4096];
    uint64_t size = 500 + (uint64_t)(uintptr_t)argument;
    for (int round = 0; round < 4; round++) {
        unsigned samples = play(size, 30000, handles, 4096);
        for (unsigned k = 0; k < samples; k++)
            prof_free(handles[k]);
    }
    return NULL;
}

static void test_threads(void)
{
    pthread_t threads[4];
    unsigned wrong = 0;
    for (uintptr_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, work, (void *)(i % 2));
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (uint64_t size = 500; size < 502; size++) {
        double alloc, inuse, bytes;
        sums(size, &alloc, &inuse, &bytes);
        wrong += inuse != 0 || bytes != 0 || fabs(alloc - 240000) > 5 * sqrt(240000 * 17.0) + 240;
    }
    is(wrong, 0, "threads that sample at once come out even");
}

static uint64_t before_fork[100];

/* In the copy: frees what was had before the fork, some of which the parent has freed since. */
static int copy(void *argument)
{
    int *go = argument;
    char byte;
    double alloc, inuse, bytes;
    uint64_t fresh[100];
    if (read(go[0], &byte, 1) != 1) /* until the parent has freed its half */
        return 1;
    if (!segment_check() || segment_counters()->inherited_samples == 0)
        return 2;
    uint64_t taken = segment_counters()->inherited_samples;
    sums(777, &alloc, &inuse, &bytes);
    if (alloc != inuse || inuse <= 0)
        return 3;
    for (unsigned i = 0; i < 100; i++)
        if (!(fresh[i] = prof_alloc((void *)(UINT64_C(0x30000000) + i * 64), 888, 888, 0)))
            return 4;
    for (unsigned i = 0; i < 100; i++)
        prof_free(before_fork[i]);
    sums(777, &alloc, &inuse, &bytes);
    if (inuse != 0 || bytes != 0)
        return 5;
    sums(888, &alloc, &inuse, &bytes);
    if (alloc != inuse || inuse < 100)
        return 6; /* a handle of the parent's hit one of ours */
    for (unsigned i = 0; i < 100; i++)
        prof_free(fresh[i]);
    sums(888, &alloc, &inuse, &bytes);
    return inuse != 0 ? 7 : taken > 100 ? 8 : 0;
}

static char folder[] = "/dev/shm/test_prof-XXXXXX";

static void test_fork(bool file)
{
    int go[2];
    if (file)
        segment_publish(1 << 20);
    if (pipe(go) != 0)
        return;
    for (unsigned i = 0; i < 100; i++)
        before_fork[i] = prof_alloc((void *)(UINT64_C(0x20000000) + i * 64), 777, 777, 0);
    if (tap_emulated("a forked copy takes over the live samples", "MADV_WIPEONFORK"))
        return;
    pid_t pid = fork();
    if (pid == 0) {
        alarm(STUCK_SECONDS);
        int result = copy(go);
        segment_fini();
        _exit(result);
    }
    for (unsigned i = 0; i < 100; i += 2)
        prof_free(before_fork[i]);
    int status = -1;
    if (write(go[1], "x", 1) == 1)
        waitpid(pid, &status, 0);
    is(status >> 8, 0, "a forked copy takes over the live samples, from %s",
       file ? "a file that goes on changing" : "private memory");
    for (unsigned i = 0; i < 100; i++)
        prof_free(before_fork[i]);
    close(go[0]);
    close(go[1]);
}

static void test_by_address(void)
{
    double alloc, inuse, bytes;
    char block[3] = {0};
    ok(prof_alloc_at(block, 999, 999) && prof_alloc_at(block + 1, 999, 999),
       "samples without a handle");
    prof_free_at(block + 2);
    sums(999, &alloc, &inuse, &bytes);
    ok(inuse == alloc && inuse >= 2, "an address that has none is no matter");
    prof_free_at(block);
    prof_free_at(block + 1);
    prof_free_at(block);
    sums(999, &alloc, &inuse, &bytes);
    ok(inuse == 0 && bytes == 0 && alloc >= 2, "freed by their addresses");
}

/* What copies of tables have left in vector registers would be a pointer of the program's to
 * whoever looks for pointers there, until the program uses these registers itself. */
static void test_vectors(void)
{
#ifdef __x86_64__
    uint64_t left[32], found = 0;
    for (unsigned call = 0; call < 2; call++) {
        __asm__ volatile("movq %0, %%xmm5\n movq %0, %%xmm8\n movq %0, %%xmm15\n" ::"r"(left));
        if (call == 0)
            prof_alloc_at(left, 999, 999);
        else
            prof_free_at(left);
        __asm__ volatile("movups %%xmm0, (%0)\n movups %%xmm1, 16(%0)\n movups %%xmm2, 32(%0)\n"
                         "movups %%xmm3, 48(%0)\n movups %%xmm4, 64(%0)\n movups %%xmm5, 80(%0)\n"
                         "movups %%xmm6, 96(%0)\n movups %%xmm7, 112(%0)\n"
                         "movups %%xmm8, 128(%0)\n movups %%xmm9, 144(%0)\n"
                         "movups %%xmm10, 160(%0)\n movups %%xmm11, 176(%0)\n"
                         "movups %%xmm12, 192(%0)\n movups %%xmm13, 208(%0)\n"
                         "movups %%xmm14, 224(%0)\n movups %%xmm15, 240(%0)\n" ::"r"(left)
                         : "memory");
        for (unsigned i = 0; i < 32; i++)
            found |= left[i];
    }
    is(found, 0, "nothing is left in vector registers");
#endif
}

/* The tables are locked, and a signal handler of whoever holds them frees: more than one block of
 * what is left for later holds, and an address that is sampled again by another thread. */
static void *sample_again(void *argument)
{
    prof_alloc_at(argument, 1234, 1234);
    return NULL;
}

static unsigned live_at(uint64_t addr, uint64_t size)
{
    const struct md_sample *samples = segment_table(MD_SECTION_SAMPLES);
    const struct md_bucket *buckets = segment_table(MD_SECTION_BUCKETS);
    unsigned n = 0;
    for (uint64_t i = 0; i < segment_header()->section[MD_SECTION_SAMPLES].count; i++)
        n += samples[i].addr == addr && buckets[samples[i].bucket].key == size;
    return n;
}

static void test_locked(bool at)
{
    enum { COUNT = 3000 };
    static uint64_t handles[COUNT];
    static const char *blocks = (const char *)UINT64_C(0x50000000);
    double alloc, inuse, bytes;
    pthread_t other;
    for (unsigned i = 0; i < COUNT; i++)
        if (at)
            prof_alloc_at(blocks + 64 * i, 1200, 1200);
        else
            handles[i] = prof_alloc(blocks + 64 * i, 1200, 1200, 0);
    uint64_t lost = segment_counters()->lost_samples;
    ok(segment_move_lock(true), "the tables are locked");
    prof_thread.busy = true;
    for (unsigned i = 0; i < COUNT; i++)
        if (at)
            prof_free_at(blocks + 64 * i);
        else
            prof_free(handles[i]);
    prof_thread.busy = false;
    sums(1200, &alloc, &inuse, &bytes);
    ok(inuse > 0, "nothing can be recorded meanwhile");
    if (at)
        pthread_create(&other, NULL, sample_again, (void *)(uintptr_t)(blocks + 64));
    segment_move_lock(false);
    sums(1200, &alloc, &inuse, &bytes);
    ok(inuse == 0 && bytes == 0, "%s: none is lost, %.0f objects are left",
       at ? "by address" : "by handle", inuse);
    is(segment_counters()->lost_samples - lost, 0, "and none counted so");
    if (!at)
        return;
    pthread_join(other, NULL);
    ok(live_at((uintptr_t)blocks + 64, 1200) == 0 && live_at((uintptr_t)blocks + 64, 1234) == 1,
       "an address that is sampled again has its own record alone");
    prof_free_at(blocks + 64);
    is(live_at((uintptr_t)blocks + 64, 1234), 0, "which goes with it");
}

static const char stepped_name[] =
    "a handler within a handler frees at each instruction: none is waited for or lost";

#if defined(__x86_64__) && !WITH_TSAN
/* A handler frees in the middle of another handler's free, at each of its instructions: the inner
 * one neither waits for the outer, which cannot go on, nor takes what is not there yet. */
static const char *const stepped_blocks = (const char *)UINT64_C(0x60000000);
static unsigned steps;

static void free_at_step(int signal)
{
    (void)signal;
    if (steps < 600)
        prof_free_at(stepped_blocks + 64 * ++steps);
}

static NOINLINE void free_stepped(const void *block)
{
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc"); /* the trap flag */
    prof_free_at(block);
    __asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc");
}

static int stepped_copy(void)
{
    struct sigaction action = {.sa_handler = free_at_step};
    double alloc, inuse, bytes;
    if (!segment_check())
        return 1;
    for (unsigned i = 0; i <= 600; i++)
        prof_alloc_at(stepped_blocks + 64 * i, 1300, 1300);
    sigaction(SIGTRAP, &action, NULL);
    prof_thread.busy = true;
    free_stepped(stepped_blocks);
    while (steps < 600)
        free_at_step(0);
    prof_thread.busy = false;
    sums(1300, &alloc, &inuse, &bytes);
    return inuse != 0 || bytes != 0 ? 2 : alloc < 601 ? 3 : 0;
}

static void test_stepped(void)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        alarm(STUCK_SECONDS);
        _exit(stepped_copy());
    }
    waitpid(pid, &status, 0);
    is(status, 0, "%s", stepped_name);
}
#else
static void test_stepped(void)
{
    tap_skip(stepped_name, WITH_TSAN ? "within ThreadSanitizer no handler may run"
                                     : "a program steps itself on x86-64 only");
}
#endif

/* Threads sample and free as fast as they can, and are interrupted by handlers that free too. */
enum { CROWD = 3, STASH = 20000 };
static _Thread_local uint64_t *stash;
static _Thread_local unsigned stash_left;
static unsigned by_handlers;

static void free_one(int signal)
{
    (void)signal;
    if (stash && stash_left) {
        prof_free_at((void *)stash[--stash_left]);
        __atomic_fetch_add(&by_handlers, 1, __ATOMIC_RELAXED);
    }
}

static unsigned crowd_done;

static void *sample_and_free(void *argument)
{
    static uint64_t stashes[CROWD][STASH];
    uintptr_t number = (uintptr_t)argument, base = UINT64_C(0x60000000) + (number << 24);
    stash = stashes[number];
    for (unsigned i = 0; i < STASH; i++) {
        stash[i] = base + 64 * i;
        prof_alloc_at((void *)stash[i], 1300, 1300);
    }
    stash_left = STASH;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    base += 1 << 23;
    for (int round = 0; round < 300; round++) {
        for (unsigned i = 0; i < 100; i++)
            prof_alloc_at((void *)(base + 64 * i), 1301 + number, 1301 + number);
        for (unsigned i = 0; i < 100; i++)
            prof_free_at((void *)(base + 64 * i));
    }
    while (stash_left)
        free_one(0);
    __atomic_fetch_add(&crowd_done, 1, __ATOMIC_RELAXED);
    return NULL;
}

static void test_handlers(void)
{
    pthread_t threads[CROWD];
    double alloc, inuse, bytes;
    uint64_t lost = segment_counters()->lost_samples;
    struct sigaction action = {.sa_handler = free_one, .sa_flags = SA_RESTART};
    sigaction(SIGUSR2, &action, NULL);
    for (uintptr_t i = 0; i < CROWD; i++)
        pthread_create(&threads[i], NULL, sample_and_free, (void *)i);
    while (__atomic_load_n(&crowd_done, __ATOMIC_RELAXED) < CROWD) {
        for (unsigned i = 0; i < CROWD; i++)
            pthread_kill(threads[i], SIGUSR2);
        nanosleep(&(struct timespec){0, 5000}, NULL);
    }
    unsigned left = 0;
    for (unsigned i = 0; i < CROWD; i++)
        pthread_join(threads[i], NULL);
    for (uint64_t size = 1300; size <= 1300 + CROWD; size++) {
        sums(size, &alloc, &inuse, &bytes);
        left += inuse != 0 || bytes != 0 || alloc == 0;
    }
    is(left, 0, "threads and their handlers sample and free at once: all comes out even");
    is(segment_counters()->lost_samples - lost, 0, "none is lost (%u freed by handlers)",
       by_handlers);
}

/* A copy made while its parent's tables were on the move finds none; a free that its parent had
 * left is not one of the copy's own sample at the same address.  (Made past the fork handlers while
 * somebody was in the unwinder, it takes no stacks, and lets go of the tables only with its
 * sample.) */
static const void *const reused = (const void *)0x710000000000;

static void inherit_none(const struct tables *parent)
{
    (void)parent;
    prof_inherit(&(struct tables){.header = NULL});
}

static int sample_reused(void *unused)
{
    double alloc, inuse, bytes;
    (void)unused;
    prof_thread.gathering = true;
    prof_postfork_child();
    prof_alloc_at(reused, 4242, 4242);
    sums(4242, &alloc, &inuse, &bytes);
    return alloc > 0 && inuse == alloc ? 0 : 1;
}

static void test_no_tables(void)
{
    if (tap_emulated("a copy without its parent's tables", "MADV_WIPEONFORK"))
        return;
    segment_on_fork = inherit_none;
    pending_add((uintptr_t)reused);
    is(in_copy(sample_reused, NULL), 0, "a copy without its parent's tables has none of its frees");
    segment_on_fork = prof_inherit;
}

int main(void)
{
    unwind_init();
    char text[128] = "memprofilerate=8KiB,monitor=off";
    bool files = mkdtemp(folder) != NULL;
    if (files)
        snprintf(text, sizeof text, "memprofilerate=8KiB,dir=%s", folder);
    /* libunwind's cleanup at the end of a thread takes a lock when ThreadSanitizer's state of that
     * thread is gone. */
    if (WITH_TSAN)
        strcat(text, ",unwind=fp");
    test_weight();
    options_parse(text);
    if (!segment_init(0))
        return 1;
    prof_init();
    segment_on_fork = prof_inherit;
    /* First of all, while the places of the table are in their first use, as those of a copy will
     * be: handles are then most alike. */
    if (files)
        test_fork(true);
    test_rules();
    test_estimates();
    test_threads();
    test_fork(false);
    test_locked(false);
    test_by_address();
    test_changing_rate();
    test_vectors();
    test_locked(true);
    test_stepped();
    test_handlers();
    test_no_tables();
    segment_fini();
    if (files)
        is(rmdir(folder), 0, "no file is left");
    return tap_done();
}
