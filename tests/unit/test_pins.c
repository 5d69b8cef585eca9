/* Who pins slabs, and the profile at the high-water mark: sums over live samples of made-up
 * addresses, whose slabs a table here stands for. */
#include "base/options.h"
#include "core_test.h"
#include "prof/peak.h"
#include "prof/pins.h"
#include "prof/prof.h"
#include "segment/segment.h"
#include "stack/unwind.h"
#include "sanitizers.h"
#include "tap.h"

#include <math.h>
#include <string.h>

#define RATE 8192.0

/* A block's share is what is asked for by its place: 100 bytes at 1100. */
static bool apart; /* what pins_step must say of samples */

static double share(uintptr_t at, size_t size, bool there)
{
    (void)size;
    return there == !apart && at >= 1000 && at < 5000 ? (double)(at - 1000) : 1e9;
}

static uint64_t found(enum md_bucket_kind kind, uint64_t key, unsigned value)
{
    const struct md_bucket *b = segment_table(MD_SECTION_BUCKETS);
    uint64_t sum = 0;
    for (uint64_t i = 0; i < segment_count(MD_SECTION_BUCKETS); i++)
        if (b[i].kind == (uint32_t)kind && b[i].key == key)
            sum += b[i].value[value];
    return sum;
}

static enum pins_state tell(unsigned *steps)
{
    enum pins_state state;
    pins_begin();
    *steps = 0;
    do
        ++*steps;
    while ((state = pins_step(share)) == PINS_MORE);
    return state;
}

static uint64_t take(uint64_t addr, size_t size, uintptr_t sibling)
{
    uint64_t handle;
    do
        prof_draw_gap(); /* this thread has one now, at the rate in force */
    while (!(handle = prof_alloc((void *)addr, size, size, sibling)));
    return handle;
}

static bool is_near(uint64_t value, double expected)
{
    return fabs((double)value - expected) <= 1 + 1e-3 * expected;
}

static void test_apart(void)
{
    static uint64_t handles[3000];
    unsigned steps;
    double weight = 1 / -expm1(-512 / RATE);
    apart = true;
    is(tell(&steps), PINS_TOLD, "without samples nothing is told, and that is all");
    handles[0] = take(0x10000, 512, 1300);
    is(tell(&steps), PINS_TOLD, "a sample");
    ok(is_near(found(MD_BUCKET_PINNED, 512, MD_PINNED_BYTES), 300 * weight),
       "pins its sibling's share, as often as it stands for");
    ok(is_near(found(MD_BUCKET_PINNED, 512, MD_PINNED_ERROR), 300 * sqrt(weight * (weight - 1))),
       "with the error of one sample");
    handles[1] = take(0x20000, 512, 1100);
    handles[2] = take(0x30000, 512, 0);
    take(0x40000, 9000, 1000);
    tell(&steps);
    ok(is_near(found(MD_BUCKET_PINNED, 512, MD_PINNED_BYTES), 200 * weight * 3),
       "one whose sibling is not known is as the others");
    is(found(MD_BUCKET_PINNED, 9000, MD_PINNED_BYTES), 0, "a share of nothing is nothing");
    for (unsigned i = 0; i < 3; i++)
        prof_free(handles[i]);
    handles[0] = take(0x50000, 512, 1010); /* where one of them was */
    tell(&steps);
    ok(is_near(found(MD_BUCKET_PINNED, 512, MD_PINNED_BYTES), 10 * weight),
       "what has been freed pins nothing, and a place is told anew");
    for (unsigned i = 1; i < 3000; i++)
        handles[i] = take(0x100000 + 64 * i, 512, 2000);
    is(tell(&steps), PINS_TOLD, "thousands");
    ok(steps > 5, "are told in %u steps", steps);
    ok(is_near(found(MD_BUCKET_PINNED, 512, MD_PINNED_BYTES), (2999 * 1000.0 + 10) * weight),
       "and add up");
    for (unsigned i = 0; i < 3000; i++)
        prof_free(handles[i]);
    tell(&steps);
    is(found(MD_BUCKET_PINNED, 512, MD_PINNED_BYTES), 0, "all freed, nothing is pinned");
    is(found(MD_BUCKET_PINNED, 512, MD_PINNED_ERROR), 0, "for sure");
}

static void test_peak(void)
{
    static uint64_t handles[200];
    double weight = 1 / -expm1(-700 / RATE);
    for (unsigned i = 0; i < 200; i++)
        handles[i] = take(0x1000000 + 1024 * i, 700, 0);
    is(found(MD_BUCKET_PEAK, 700, MD_PEAK_BYTES), 0, "no peak is kept by itself");
    peak_keep();
    for (unsigned i = 0; i < 200; i++)
        prof_free(handles[i]);
    handles[0] = take(0x2000000, 800, 0);
    ok(is_near(found(MD_BUCKET_PEAK, 700, MD_PEAK_BYTES), 200 * 700 * weight) &&
           found(MD_BUCKET_PEAK, 800, MD_PEAK_BYTES) == 0,
       "what was in use then");
    ok(is_near(found(MD_BUCKET_PEAK, 700, MD_PEAK_OBJECTS), 200 * weight * MD_WEIGHT_ONE),
       "its objects");
    peak_keep();
    ok(found(MD_BUCKET_PEAK, 700, MD_PEAK_BYTES) == 0 &&
           found(MD_BUCKET_PEAK, 800, MD_PEAK_BYTES) > 800,
       "the next one takes its place");
    is(found(MD_BUCKET_HEAP, 700, MD_HEAP_ALLOC_OBJECTS),
       found(MD_BUCKET_HEAP, 700, MD_HEAP_FREE_OBJECTS), "the heap's own buckets stay as they are");
}

/* Samples that are found by address lie among their like. */
static void test_there(void)
{
    unsigned steps;
    double weight = 1 / -expm1(-256 / RATE);
    pins_postfork_child(); /* its sums are given back, and made anew */
    prof_draw_gap();
    ok(prof_alloc_at((void *)1400, 256, 256), "a sample by address");
    apart = false;
    is(tell(&steps), PINS_TOLD, "is told");
    ok(is_near(found(MD_BUCKET_PINNED, 256, MD_PINNED_BYTES), 400 * weight), "by where it lies");
}

int main(int argc, char **argv)
{
    (void)argv;
    unwind_init();
    char text[128] = "memprofilerate=8KiB,monitor=off";
    if (WITH_TSAN) /* as in test_prof.c */
        strcat(text, ",unwind=fp");
    options_parse(text);
    if (!segment_init(0))
        return 1;
    prof_init();
    if (argc > 1) { /* a process is of one variant for all its life */
        test_there();
    } else {
        test_apart();
        test_peak();
    }
    segment_fini();
    return tap_done();
}
