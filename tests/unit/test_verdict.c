/* src/view/verdict.c: the rules, on histories as programs of known truth have made them. */
#include "support/tap.h"
#include "view/verdict.h"

#include <math.h>
#include <string.h>

#define MIB 1048576.0
#define SECOND INT64_C(1000000000)
#define RATE 524288.0

enum { LOST_MAX = 4096 };

/* A process as it would be watched: its readings, one a second, and what its cycles have found. */
static struct {
    struct verdict_history history;
    struct verdict_point point[64];
    size_t point_count;
    struct verdict_lost lost[LOST_MAX];
    size_t lost_count;
    double peak_bytes;
    int64_t now_s;
} process;

static void begin(int64_t now_s)
{
    memset(&process, 0, sizeof process);
    process.now_s = now_s;
}

/* NAN: not known. */
static struct verdict_reading *reading(double heap, double rss)
{
    static struct verdict_reading next;
    next = verdict_blank(process.now_s++ * SECOND);
    next.value[VERDICT_HEAP] = heap;
    next.value[VERDICT_RSS] = rss;
    process.peak_bytes = fmax(process.peak_bytes, heap);
    return &next;
}

static void tick(double heap, double rss)
{
    verdict_add(&process.history, reading(heap, rss));
}

static void point(int64_t time_s, double heap, double leaked)
{
    process.point[process.point_count++] = (struct verdict_point){time_s * SECOND, heap, leaked};
}

/* Samples that leak, one for each RATE of `bytes`, born evenly in that time.  Of small objects the
 * standard error of one is what it stands for. */
static void lose(int64_t from_s, int64_t to_s, double bytes)
{
    size_t count = (size_t)(bytes / RATE);
    for (size_t i = 0; i < count && process.lost_count < LOST_MAX; i++)
        process.lost[process.lost_count++] =
            (struct verdict_lost){from_s * SECOND + (int64_t)((double)i / (double)count *
                                                              (double)((to_s - from_s) * SECOND)),
                                  RATE, RATE * RATE};
}

static struct verdict find_after(const struct verdict *before, bool whole_life)
{
    struct verdict_evidence evidence = {.history = &process.history,
                                        .point = process.point,
                                        .point_count = process.point_count,
                                        .lost = process.lost,
                                        .lost_count = process.lost_count,
                                        .sample_bytes = RATE,
                                        .peak_bytes = process.peak_bytes,
                                        .whole_life = whole_life};
    return verdict_find(&evidence, before);
}

static struct verdict find(void)
{
    return find_after(NULL, false);
}

static bool near(double got, double expected)
{
    return fabs(got - expected) <= 0.03 * fabs(expected);
}

static void test_leak(void)
{
    /* A server of 200 MB that loses 1.8 MB a second, watched for a minute; cycles each 5 s. */
    begin(1000);
    for (int i = 0; i <= 60; i++) {
        tick((200 + 1.8 * i) * MIB, NAN);
        if (i % 5 == 0)
            point(1000 + i, (200 + 1.8 * i) * MIB, (5 + 1.75 * i) * MIB);
    }
    struct verdict v = find();
    ok(v.kind == VERDICT_LEAK && near(v.seconds, 60) && near(v.growth_bytes, 108 * MIB) &&
           near(v.leaked_bytes, 105 * MIB),
       "cycles that count: a leak, and its share");

    /* The same, but cycles were asked for once, after 44 s. */
    begin(1000);
    for (int i = 0; i <= 44; i++)
        tick((200 + 1.8 * i) * MIB, NAN);
    point(1044, (200 + 1.8 * 44) * MIB, (5 + 1.75 * 44) * MIB);
    lose(0, 1000, 5 * MIB);
    lose(1000, 1044, 1.75 * 44 * MIB);
    v = find();
    ok(v.kind == VERDICT_LEAK && near(v.seconds, 44) && near(v.growth_bytes, 79.2 * MIB) &&
           near(v.leaked_bytes, 77 * MIB),
       "cycles of one moment: what was lost of what was born meanwhile, by samples");
    for (int i = 0; i < 300; i++)
        tick((280 + 1.8 * i) * MIB, NAN);
    ok(find().kind == VERDICT_LEAK, "it is told as long as the heap goes on growing");
    for (int i = 0; i < 80; i++)
        tick(820 * MIB, NAN);
    ok(find().kind == VERDICT_NONE, "and no longer");

    begin(1000);
    for (int i = 0; i <= 60; i++) {
        tick(200 * MIB, NAN);
        if (i % 5 == 0)
            point(1000 + i, 200 * MIB, 5 * MIB);
    }
    ok(find().kind == VERDICT_NONE, "what was lost long ago is no leak now");
    begin(1000);
    for (int i = 0; i <= 60; i++) {
        tick(200 * MIB, NAN);
        if (i % 5 == 0)
            point(1000 + i, 200 * MIB, (5 + 0.1 * i) * MIB);
    }
    v = find();
    ok(v.kind == VERDICT_LEAK && near(v.leaked_bytes, 6 * MIB) && v.growth_bytes == 0,
       "a leak is told where the heap as a whole is flat");

    /* 3 KB/s: less than a MB in a minute. */
    begin(1000);
    for (int i = 0; i < 640; i++) {
        tick((200 + 0.003 * i) * MIB, NAN);
        if (i % 30 == 0)
            point(1000 + i, (200 + 0.003 * i) * MIB, 0.003 * i * MIB);
    }
    v = find();
    ok(v.kind == VERDICT_LEAK && v.seconds > 500, "a slow leak is told by the last ten minutes");

    /* One look at a process of 44 s. */
    begin(0);
    point(0, 0, 0);
    point(44, 83 * MIB, 79.6 * MIB);
    v = find_after(NULL, true);
    ok(v.kind == VERDICT_LEAK && near(v.seconds, 44) && near(v.leaked_bytes, 79.6 * MIB),
       "one look: from the start");
    begin(0);
    point(0, 0, 0);
    point(44, 83 * MIB, 0.9 * MIB);
    ok(find_after(NULL, true).kind == VERDICT_NONE,
       "one look at a program that lost little: silent");
}

static void fill_heap(double rate)
{
    begin(1000);
    for (int i = 0; i <= 60; i++)
        tick((50 + rate * i) * MIB, (60 + rate * i) * MIB);
}

static void test_growth(void)
{
    fill_heap(1);
    struct verdict v = find();
    ok(v.kind == VERDICT_GROWTH && near(v.growth_bytes, 60 * MIB) && near(v.seconds, 60),
       "the heap grows, and no cycle has told why");
    point(1050, 100 * MIB, 0.2 * MIB);
    ok(find().kind == VERDICT_HELD, "a cycle has reached it: it is held");
    process.point_count = 0;
    point(1050, 100 * MIB, 40 * MIB);
    lose(0, 1000, 40 * MIB);
    ok(find().kind == VERDICT_HELD, "what was lost before is not what grows now");
    process.point_count = 0;
    process.lost_count = 0;
    point(1050, 100 * MIB, 25 * MIB);
    lose(1000, 1050, 25 * MIB);
    v = find();
    ok(v.kind == VERDICT_LEAK && near(v.leaked_bytes / v.growth_bytes, 0.5), "half of it is lost");
    fill_heap(1);
    point(1050, 100 * MIB, 30 * MIB);
    lose(0, 1000, 26 * MIB);
    lose(1000, 1050, 4 * MIB);
    ok(find().kind == VERDICT_GROWTH,
       "eight samples are too few to tell a leak, or that there is none");
    fill_heap(0.02);
    ok(find().kind == VERDICT_NONE, "1.2 MB is no growth");

    begin(1000);
    for (int i = 0; i < 44; i++)
        tick((50 + i) * MIB, NAN);
    ok(find().kind == VERDICT_NONE, "nor is what has been watched for less than 45 s");
}

static void test_silent(void)
{
    unsigned said = 0;
    begin(1000);
    for (int i = 0; i < 600; i++) { /* fills for 25 s, then stays */
        tick((i < 25 ? 4 * i : 100) * MIB, (20 + (i < 25 ? 4 * i : 100)) * MIB);
        said += find().kind != VERDICT_NONE;
    }
    is(said, 0, "a program that warms up");
    begin(1000);
    for (int i = 0; i < 600; i++) { /* one table more */
        tick((i < 300 ? 100 : 160) * MIB, (i < 300 ? 120 : 180) * MIB);
        said += find().kind != VERDICT_NONE;
    }
    is(said, 0, "one step");
    for (int period = 3; period <= 200; period += 7) {
        begin(1000);
        for (int i = 0; i < 600; i++) {
            tick((50 + 80.0 * (i % period) / period) * MIB, 160 * MIB);
            /* Until it has been at the top once, nobody can know. */
            said += i > period && find().kind != VERDICT_NONE;
        }
    }
    is(said, 0, "saws of 3 to 200 s");
    begin(1000);
    uint64_t state = 1;
    for (int i = 0; i < 3000; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        double noise = (double)(state >> 33) / 0x1p31;
        tick((500 + 60 * noise) * MIB, (700 + 100 * noise) * MIB);
        said += find().kind != VERDICT_NONE;
    }
    is(said, 0, "noise of an eighth");
}

static struct verdict resident(double heap_rate, double mapped_rate, enum verdict_series part,
                               double rate, double other_rate)
{
    begin(1000);
    for (int i = 0; i <= 60; i++) {
        struct verdict_reading *r = reading((50 + heap_rate * i) * MIB, (80 + 2 * i) * MIB);
        r->value[VERDICT_MAPPED] = mapped_rate * i * MIB;
        if (part != VERDICT_SERIES && i % 5 == 0) {
            for (enum verdict_series s = VERDICT_SLACK; s < VERDICT_SERIES; s++)
                r->value[s] = (5 + other_rate * i) * MIB;
            r->value[part] = (5 + rate * i) * MIB;
            r->value[VERDICT_PARTED] = (80 + 2 * i) * MIB;
        }
        verdict_add(&process.history, r);
    }
    return find();
}

static void test_resident(void)
{
    struct verdict v = resident(0.1, 0, VERDICT_SLACK, 1.8, 0.01);
    ok(v.kind == VERDICT_KEPT && v.part == VERDICT_SLACK && near(v.growth_bytes, 120 * MIB) &&
           near(v.part_bytes, 108 * MIB) && near(v.heap_bytes, 6 * MIB),
       "RSS grows, the heap does not: fragmentation, and its share");
    for (size_t i = 0; i < process.history.count / 3; i++)
        process.history.reading[i].value[VERDICT_SLACK] = NAN;
    v = find();
    ok(v.part == VERDICT_SLACK && near(v.part_bytes, 108 * MIB),
       "a part that was not known at first has its share of what it is known for");
    v = resident(0.1, 2, VERDICT_ANONYMOUS, 1.9, 0);
    ok(v.kind == VERDICT_OUTSIDE && v.part == VERDICT_ANONYMOUS, "outside the heap: what it maps");
    v = resident(0.02, 0, VERDICT_ANONYMOUS, 1.9, 0);
    ok(v.kind == VERDICT_NONE,
       "anonymous memory that was mapped before may be another heap: silent");
    v = resident(0.02, 0, VERDICT_STACKS, 1.9, 0);
    ok(v.kind == VERDICT_OUTSIDE && v.part == VERDICT_STACKS, "outside the heap: stacks");
    v = resident(0.02, 2, VERDICT_SERIES, 0, 0);
    ok(v.kind == VERDICT_OUTSIDE && v.part == VERDICT_ANONYMOUS,
       "parts are not known: what it maps explains it");
    ok(resident(0.02, 0, VERDICT_SERIES, 0, 0).kind == VERDICT_NONE,
       "parts are not known, and it maps nothing: silent");
    ok(resident(0.02, 0, VERDICT_SLACK, 0.5, 0.2).kind == VERDICT_NONE,
       "no part explains it: silent");
    v = resident(2, 0, VERDICT_SLACK, 0.1, 0);
    ok(v.kind == VERDICT_GROWTH, "it is the heap that grows");
}

static void test_names(void)
{
    struct verdict v = {.kind = VERDICT_HELD};
    const struct verdict_site sites[] = {{1, 11, 8 * MIB, 3 * MIB},
                                         {2, 12, 50 * MIB, 5 * MIB},
                                         {3, 13, 30 * MIB, NAN},
                                         {4, 14, 25 * MIB, 0},
                                         {5, 15, 30 * MIB, 2 * MIB}};
    verdict_attribute(&v, sites, 5, 100 * MIB, NULL);
    ok(v.name_count == 2 && v.name[0].site == 2 && v.name[0].stack == 12 &&
           near(v.name[0].share, 0.5) && v.name[1].site == 5,
       "the two greatest that stand out of their error");
    const struct verdict_site weak[] = {{1, 11, 90 * MIB, 40 * MIB}};
    verdict_attribute(&v, weak, 1, 100 * MIB, NULL);
    is(v.name_count, 0, "2.25 standard errors are no name");
    struct verdict before = {.kind = VERDICT_HELD, .name = {{11, 1, 0.9}}, .name_count = 1};
    verdict_attribute(&v, weak, 1, 100 * MIB, &before);
    is(v.name_count, 1, "but are enough for one that was there");
    before.kind = VERDICT_LEAK;
    verdict_attribute(&v, weak, 1, 100 * MIB, &before);
    is(v.name_count, 0, "of the same verdict");
    verdict_attribute(&v, sites, 5, 0, NULL);
    is(v.name_count, 0, "of nothing there is no share");
}

static void test_flaps(void)
{
    /* Growth about the bound, up and down. */
    begin(1000);
    struct verdict before = {0};
    unsigned changes = 0, alone = 0;
    enum verdict_kind last = VERDICT_NONE, last_alone = VERDICT_NONE;
    double heap = 50 * MIB;
    for (int i = 0; i < 600; i++) {
        heap += (i / 90 % 2 ? 0.05 : 0.09) * MIB;
        tick(heap, NAN);
        enum verdict_kind each = find().kind;
        alone += each != last_alone;
        last_alone = each;
        before = find_after(&before, false);
        changes += before.kind != last;
        last = before.kind;
    }
    ok(alone > 3, "growth about the bound comes and goes (%u)", alone);
    is(changes, 1, "but what has been said is held on to");
}

static void test_history(void)
{
    begin(0);
    for (int i = 0; i < 2000; i++)
        tick(i, NAN);
    ok(process.history.count <= VERDICT_READINGS, "no more readings than there is room for");
    const struct verdict_reading *r = process.history.reading;
    ok(r[process.history.count - 1].value[VERDICT_HEAP] == 1999, "the newest is there");
    ok((r[process.history.count - 1].time_ns - r[0].time_ns) / SECOND >= 600, "and ten minutes");
    bool order = true;
    for (size_t i = 1; i < process.history.count; i++)
        order = order && r[i].time_ns > r[i - 1].time_ns;
    ok(order, "in order");
    process.now_s = 5;
    tick(7, NAN);
    ok(r[process.history.count - 1].value[VERDICT_HEAP] == 1999, "an older one is passed over");
    begin(0);
    ok(find().kind == VERDICT_NONE, "of nothing there is nothing to say");
    tick(NAN, NAN);
    ok(find().kind == VERDICT_NONE, "nor of what is not known");
}

int main(void)
{
    test_leak();
    test_growth();
    test_silent();
    test_resident();
    test_names();
    test_flaps();
    test_history();
    return tap_done();
}
