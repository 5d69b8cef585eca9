/* Which root pages are looked at again, and which chunks stay under write tracking. */
#include "gc/roots/barren.h"
#include "tap.h"

#define PAGE ((uintptr_t)4096)
#define CHUNK ((uintptr_t)2 << 20)
#define GB ((uintptr_t)1 << 30)
#define BASE ((uintptr_t)0x700000000000)
#define HEAP ((uintptr_t)0x7f0000000000)

struct sum {
    unsigned runs;
    uintptr_t pages, first;
};

static void add(void *ctx, uintptr_t start, uintptr_t end)
{
    struct sum *sum = ctx;
    if (sum->runs++ == 0)
        sum->first = start;
    sum->pages += (end - start) / PAGE;
}

static struct sum others(uintptr_t start, uintptr_t end)
{
    struct sum sum = {0};
    barren_each_other(start, end, add, &sum);
    return sum;
}

static struct sum done(uintptr_t start, uintptr_t end)
{
    struct sum sum = {0};
    barren_each_done(start, end, add, &sum);
    return sum;
}

static void begin(uintptr_t start, uintptr_t end, bool known)
{
    barren_begin();
    barren_range(start, end, known);
    barren_heap(HEAP, GB);
}

static void find(uintptr_t start, uintptr_t end)
{
    for (; start < end; start += PAGE)
        barren_found(start);
}

static void test_pages(void)
{
    uintptr_t end = BASE + 4 * CHUNK;
    begin(BASE, end, false);
    struct sum sum = others(BASE, end);
    ok(sum.runs == 1 && sum.pages == 2048, "at first all is to be looked at, at once");
    find(BASE + 100 * PAGE, BASE + 200 * PAGE);
    find(BASE + 300 * PAGE, BASE + 303 * PAGE);
    sum = others(BASE, end);
    ok(sum.runs == 2 && sum.pages == 1948 && sum.first == BASE,
       "what is barren is left out, but for short runs: %u runs, %lu pages", sum.runs, sum.pages);
    barren_written(NULL, BASE + 150 * PAGE, BASE + 151 * PAGE);
    sum = others(BASE, end);
    ok(sum.runs == 3 && sum.pages == 1949, "what is written to comes back");
    find(BASE, end);
    sum = others(BASE, end);
    ok(sum.runs == 0, "all of it barren");
    sum = others(BASE - GB, BASE);
    ok(sum.runs == 1 && sum.pages == GB / PAGE, "of what is no range all is looked at");
    sum = others(BASE + CHUNK + PAGE, BASE + CHUNK + 2 * PAGE);
    ok(sum.runs == 1, "a short piece is, too");
    sum = done(BASE, end);
    ok(sum.runs == 0, "all stays armed");
    begin(BASE, end, true);
    ok(others(BASE, end).runs == 0, "in the next cycle it is still barren");
    barren_written(NULL, BASE, BASE + 20 * PAGE);
    sum = others(BASE, end);
    ok(sum.runs == 1 && sum.pages == 20, "but for what has been written to");
    done(BASE, end);
    barren_begin();
    barren_range(BASE, BASE + CHUNK, true);
    barren_range(BASE + CHUNK, end, false);
    barren_heap(HEAP, GB);
    sum = others(BASE, end);
    ok(sum.pages == 20 + 3 * 512, "a range that was not registered all the time is forgotten");
    barren_forget();
    begin(BASE, end, true);
    ok(others(BASE, end).pages == 2048, "all is forgotten");
}

static void test_window(void)
{
    uintptr_t end = BASE + CHUNK;
    barren_forget();
    begin(BASE, end, false);
    ok(barren_lo() == HEAP - 64 * GB && barren_span() == 129 * GB, "the window is around the heap");
    find(BASE, end);
    done(BASE, end);
    barren_begin();
    barren_range(BASE, end, true);
    barren_heap(HEAP - 64 * GB, 129 * GB);
    ok(others(BASE, end).runs == 0, "a heap that grows within it changes nothing");
    done(BASE, end);
    barren_begin();
    barren_range(BASE, end, true);
    barren_heap(HEAP - 64 * GB - PAGE, 2 * GB);
    ok(others(BASE, end).pages == 512, "one that grows out of it changes all: below");
    find(BASE, end);
    done(BASE, end);
    barren_begin();
    barren_range(BASE, end, true);
    barren_heap(HEAP, 100 * GB);
    ok(others(BASE, end).pages == 512, "and above");
    barren_heap(PAGE, GB);
    ok(barren_lo() == 0 && barren_span() == 65 * GB + PAGE, "at the lower end of all addresses");
    barren_heap(~(uintptr_t)0 - GB, GB);
    ok(barren_lo() + barren_span() == ~(uintptr_t)0, "and at the upper");
}

static void test_chunks(void)
{
    uintptr_t end = BASE + 64 * CHUNK;
    barren_forget();
    begin(BASE, end, false);
    find(BASE, end);
    struct sum sum = done(BASE, end);
    is(sum.pages / 512, 24, "of 64 new chunks 40 are tried in a cycle");
    begin(BASE, end, true);
    find(BASE, end);
    is(done(BASE, end).pages, 0, "and the others in the next");
    /* Three that are written to after each cycle. */
    unsigned armed = 0;
    for (int i = 0; i < 60; i++) {
        barren_begin();
        barren_range(BASE, end, true);
        barren_written(NULL, BASE, BASE + 3 * CHUNK);
        barren_heap(HEAP, GB);
        find(BASE, end);
        sum = done(BASE, end);
        armed += 3 - (unsigned)(sum.pages / 512);
    }
    ok(armed >= 3 && armed <= 18, "one that is written to is left alone more and more: %u of 180",
       armed);
    begin(BASE, end, true);
    barren_written(NULL, BASE + 10 * CHUNK, BASE + 10 * CHUNK + 300 * PAGE);
    barren_heap(HEAP, GB);
    sum = done(BASE + 8 * CHUNK, BASE + 16 * CHUNK);
    ok(sum.runs == 1 && sum.first == BASE + 10 * CHUNK && sum.pages == 512,
       "one of which little is barren is not kept");
    sum = done(BASE + 20 * CHUNK + PAGE, BASE + 22 * CHUNK);
    ok(sum.runs == 1 && sum.pages == 511, "nor one that reaches out of the range");
}

int main(void)
{
    test_pages();
    test_window();
    test_chunks();
    return tap_done();
}
