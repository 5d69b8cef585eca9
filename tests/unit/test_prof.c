/* The sampled profile: weights against libm, estimates against what was allocated, threads, and
 * what a forked copy takes over. */
#include "base/compiler.h"
#include "base/options.h"
#include "base/os.h"
#include "core_test.h"
#include "prof/prof.h"
#include "segment/segment.h"
#include "stack/unwind.h"
#include "tap.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>

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

/* What the segment says that size has: objects and bytes, as inuse. */
static void sums(uint64_t size, double *alloc_objects, double *inuse_objects, double *inuse_bytes)
{
    const struct md_bucket *b = segment_table(MD_SECTION_BUCKETS);
    uint64_t count = segment_header()->section[MD_SECTION_BUCKETS].count;
    *alloc_objects = *inuse_objects = *inuse_bytes = 0;
    for (uint64_t i = 0; i < count; i++)
        if (b[i].size == size) {
            *alloc_objects += (double)b[i].value[MD_HEAP_ALLOC_OBJECTS] / MD_WEIGHT_ONE;
            *inuse_objects +=
                (double)(b[i].value[MD_HEAP_ALLOC_OBJECTS] - b[i].value[MD_HEAP_FREE_OBJECTS]) /
                MD_WEIGHT_ONE;
            *inuse_bytes +=
                (double)(b[i].value[MD_HEAP_ALLOC_BYTES] - b[i].value[MD_HEAP_FREE_BYTES]);
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
            uint64_t handle = prof_alloc((void *)(UINT64_C(0x10000000) + samples * 64), size);
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
    uint64_t handle = prof_alloc(&calls, 333);
    ok(handle && calls == 1 && errno == 77, "a sample is told of, errno preserved");
    prof_on_sample = NULL;
    own_thread = true;
    is(prof_alloc(&calls, 333), 0, "no samples on threads of ours");
    own_thread = false;
    prof_thread.busy = true;
    is(prof_alloc(&calls, 333), 0, "nor inside the profiler");
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
        if (b[i].size == 333)
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
        if (!(fresh[i] = prof_alloc((void *)(UINT64_C(0x30000000) + i * 64), 888)))
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
        before_fork[i] = prof_alloc((void *)(UINT64_C(0x20000000) + i * 64), 777);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(30);
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
    char block[3];
    ok(prof_alloc_at(block, 999) && prof_alloc_at(block + 1, 999), "samples without a handle");
    prof_free_at(block + 2);
    sums(999, &alloc, &inuse, &bytes);
    ok(inuse == alloc && inuse >= 2, "an address that has none is no matter");
    prof_free_at(block);
    prof_free_at(block + 1);
    prof_free_at(block);
    sums(999, &alloc, &inuse, &bytes);
    ok(inuse == 0 && bytes == 0 && alloc >= 2, "freed by their addresses");
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
    test_by_address();
    segment_fini();
    if (files)
        is(rmdir(folder), 0, "no file is left");
    return tap_done();
}
