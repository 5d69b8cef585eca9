/* The pacer on simulated heaps: time runs in steps of 1 ms, a cycle costs CPU and a pause in
 * proportion to the heap, nothing is really traced. */
#include "gc/pacer.h"
#include "tap.h"

#define MB (UINT64_C(1) << 20)
#define MS INT64_C(1000000)
#define S (1000 * MS)

struct simulation {
    struct pacer pacer;
    struct pacer_settings settings;
    int64_t now;
    int64_t cpu_per_mb, pause_per_mb;
    uint64_t beside; /* bytes of the program's that are not heap; looked at for 0.1 s a GB */
    unsigned grown, timed;
    bool fails;          /* cycles cannot be done */
    int64_t cpu, pause;  /* of all cycles */
    int64_t first, last; /* start of the first and the last cycle */
    int64_t shortest;    /* from one start to the next */
};

static struct simulation start(uint64_t percent, uint64_t interval, unsigned cpus)
{
    struct simulation s = {.settings = {percent, 4 * MB, interval, cpus, PACER_OFF},
                           .cpu_per_mb = 500000, /* 0.5 s a GB */
                           .pause_per_mb = 10000,
                           .shortest = INT64_MAX};
    pacer_init(&s.pacer, 0);
    return s;
}

/* One millisecond later, with so much in use. */
static enum pacer_due step(struct simulation *s, uint64_t in_use)
{
    int64_t again;
    s->now += MS;
    enum pacer_due due = pacer_due(&s->pacer, &s->settings, s->now, in_use, &again);
    if (due == PACER_WAIT) {
        if (again <= s->now)
            ok(false, "look again at %lld, which is not later than %lld", (long long)again,
               (long long)s->now);
        return due;
    }
    int64_t cpu = (int64_t)(in_use / MB) * s->cpu_per_mb + (int64_t)(s->beside / MB) * 100000;
    int64_t begin = s->now;
    int64_t pause = (int64_t)(in_use / MB) * s->pause_per_mb;
    if (s->grown + s->timed && begin - s->last < s->shortest)
        s->shortest = begin - s->last;
    if (!(s->grown + s->timed))
        s->first = begin;
    s->last = begin;
    s->now += pause + cpu;
    s->cpu += cpu;
    s->pause += pause;
    due == PACER_GROWN ? s->grown++ : s->timed++;
    pacer_cycle(&s->pacer,
                &(struct pacer_cycle){begin, s->now, cpu, pause, in_use, s->beside, !s->fails});
    if (!s->fails)
        pacer_base(&s->pacer, in_use);
    return due;
}

/* Grows by 1 MB each ms to `most` MB, then stands there; until a time. */
static void grow_to(struct simulation *s, uint64_t most, int64_t until)
{
    while (s->now < until)
        step(s, ((uint64_t)(s->now / MS) < most ? (uint64_t)(s->now / MS) : most) * MB);
}

static void test_limit(void)
{
    struct pacer pacer;
    struct pacer_settings settings = {100, 4 * MB, PACER_OFF, 2, 150 * MB};
    pacer_init(&pacer, 0);
    pacer_base(&pacer, 10 * MB);
    is(pacer_goal(&pacer, &settings), 20 * MB, "far below the limit it changes no goal");
    pacer_base(&pacer, 100 * MB);
    is(pacer_goal(&pacer, &settings), 150 * MB, "no goal is above the limit");
    pacer_base(&pacer, 400 * MB);
    is(pacer_goal(&pacer, &settings), 150 * MB, "nor when more is in use");
    settings.percent = PACER_OFF;
    is(pacer_goal(&pacer, &settings), 150 * MB, "nor with gcpercent=off");
    settings = (struct pacer_settings){100, 4 * MB, PACER_OFF, 2, 2 * MB};
    is(pacer_goal(&pacer, &settings), 2 * MB, "nor below the least heap");

    struct simulation s = start(PACER_OFF, PACER_OFF, 2);
    s.settings.limit = 1000 * MB;
    grow_to(&s, 999, 3 * S);
    is(s.grown, 0, "below the limit there is none");
    grow_to(&s, 2000, 3 * S + 100 * MS);
    ok(s.grown == 1 && s.first <= 3 * S + 2 * MS, "at the limit at once");
    grow_to(&s, 2000, 303 * S);
    ok(s.grown >= 2 && s.cpu * 100 < 310 * S && s.shortest >= 5 * S,
       "above it %u in 300 s, %.2f %% of a CPU", s.grown, (double)s.cpu / 3e9);

    s = start(100, PACER_OFF, 2);
    s.settings.limit = 1000 * MB;
    grow_to(&s, 1100, 60 * S);
    unsigned at_limit = s.grown;
    struct simulation without = start(100, PACER_OFF, 2);
    grow_to(&without, 1100, 60 * S);
    ok(without.grown >= 3 && at_limit > without.grown && at_limit <= without.grown + 12,
       "beside growth: %u cycles, and %u with a limit", without.grown, at_limit);

    /* In and out: no spiral either. */
    s = start(PACER_OFF, PACER_OFF, 2);
    s.settings.limit = 1000 * MB;
    for (unsigned i = 0; s.now < 100 * S; i++)
        step(&s, (i % 20 < 10 ? 990 : 1010) * MB);
    ok(s.grown >= 2 && s.cpu * 100 < 110 * S, "around it: %u in 100 s", s.grown);
}

static void test_goal(void)
{
    struct pacer pacer;
    struct pacer_settings settings = {100, 4 * MB, PACER_OFF, 2, PACER_OFF};
    pacer_init(&pacer, 0);
    is(pacer_goal(&pacer, &settings), 4 * MB, "before the first cycle the goal is the least heap");
    pacer_base(&pacer, 1 * MB);
    is(pacer_goal(&pacer, &settings), 4 * MB, "and below it");
    pacer_base(&pacer, 100 * MB);
    is(pacer_goal(&pacer, &settings), 200 * MB, "100 percent doubles what was in use");
    settings.percent = 50;
    is(pacer_goal(&pacer, &settings), 150 * MB, "50 percent adds half");
    settings.percent = 0;
    is(pacer_goal(&pacer, &settings), 100 * MB, "0 percent adds nothing");
    settings.percent = PACER_OFF;
    ok(pacer_goal(&pacer, &settings) == PACER_OFF, "off is never");
    settings.percent = UINT64_MAX / 2;
    ok(pacer_goal(&pacer, &settings) == PACER_OFF, "a goal beyond 64 bits is never");
}

static void test_steady(void)
{
    struct simulation s = start(100, PACER_OFF, 2);
    for (int i = 0; i < 60000; i++)
        step(&s, 100 * MB);
    is(s.grown, 1, "a heap that does not grow has one cycle in a minute");
}

static void test_doubling(void)
{
    struct simulation s = start(100, PACER_OFF, 2);
    uint64_t in_use = 0;
    while (in_use < 1024 * MB)
        step(&s, in_use += MB / 64);
    /* 4, 8, ... 1024 */
    ok(s.grown == 9 || s.grown == 8, "growing to 1 GB takes a cycle for each doubling: %u",
       s.grown);
}

static void test_oscillating(void)
{
    struct simulation s = start(100, PACER_OFF, 2);
    for (int i = 0; i < 120000; i++)
        step(&s, (i / 500 & 1) ? 900 * MB : 100 * MB);
    /* A cycle that happens to end in a trough sets a low goal, and the next peak is one again. */
    ok(s.grown >= 1 && s.cpu * 4 <= s.now * 2, "%u cycles on a heap that swings ninefold", s.grown);
}

/* A heap that runs away: grows past every goal faster than it can be traced. */
static void test_share(unsigned cpus)
{
    struct simulation s = start(100, PACER_OFF, cpus);
    s.settings.percent = 0; /* always due */
    for (int i = 0; i < 20000; i++)
        step(&s, 1000 * MB);
    int64_t span = s.last - s.first; /* the last one's share is not complete */
    double cpu_share = (double)(s.cpu - (int64_t)1000 * s.cpu_per_mb) / (double)(span * cpus);
    double pause_share = (double)(s.pause - (int64_t)1000 * s.pause_per_mb) / (double)span;
    ok(s.grown > 5, "always due, on %u CPUs: %u cycles", cpus, s.grown);
    ok(cpu_share < 0.2501, "tracing takes %.1f %% of the CPUs", cpu_share * 100);
    ok(pause_share < 0.0501, "the program stands still %.1f %% of the time", pause_share * 100);
    ok(cpu_share > 0.24 || pause_share > 0.049 || s.shortest < 600 * MS,
       "and one of the bounds, or the mark itself, is what holds it back");
}

/* A JVM: 2 GB of its own beside a heap that swings between 13 and 40 MB. */
static void test_beside(void)
{
    for (int failing = 0; failing < 2; failing++) {
        struct simulation s = start(100, PACER_AUTO, 2);
        s.beside = 2048 * MB;
        s.fails = failing;
        for (int i = 0; s.now < 600 * S; i++)
            step(&s, (i / 500 & 1) ? 40 * MB : 13 * MB);
        double share = (double)s.cpu / (double)s.now;
        ok(s.grown + s.timed >= 5 && share < 0.0105 + 0.3 / 600,
           "2 GB beside the heap%s: %u cycles by growth and %u by time take %.2f %% of a CPU",
           failing ? ", and none can be done" : "", s.grown, s.timed, share * 100);
    }
    struct simulation s = start(100, PACER_OFF, 2);
    s.beside = 32 * MB;
    uint64_t in_use = 0;
    while (in_use < 256 * MB)
        step(&s, in_use += MB / 16);
    ok(s.grown == 7 || s.grown == 6, "a few libraries beside it hold up nothing: %u cycles",
       s.grown);
}

static void test_long_pauses(void)
{
    struct simulation s = start(0, PACER_OFF, 64);
    s.pause_per_mb = 200000;
    for (int i = 0; i < 60000; i++)
        step(&s, 1000 * MB);
    ok(s.shortest >= 20 * 200 * MS, "pauses of 200 ms are 4 s apart: %lld ms",
       (long long)(s.shortest / MS));
}

static void test_interval(void)
{
    struct simulation s = start(100, 10 * S, 2);
    s.cpu_per_mb = 0;
    while (s.now < 95 * S)
        step(&s, 1 * MB);
    is(s.timed, 9, "every 10 s, counted from the end of the last");
    is(s.grown, 0, "and none by growth below the least heap");

    s = start(PACER_OFF, PACER_AUTO, 2);
    while (s.now < 60 * S)
        step(&s, 1 * MB);
    is(s.timed, 11, "auto: every 5 s where a cycle costs little");

    s = start(PACER_OFF, PACER_AUTO, 2);
    while (s.now < 1000 * S)
        step(&s, 1000 * MB);
    ok((double)s.cpu / (double)s.now < 0.0101 + 0.5 / 1000, "auto: %.2f %% of a CPU at 1 GB",
       100.0 * (double)s.cpu / (double)s.now);
    is(s.timed, 20, "which is every 50 s");

    s = start(PACER_OFF, PACER_OFF, 2);
    int64_t again = 0;
    ok(pacer_due(&s.pacer, &s.settings, 1000 * S, 1000 * MB, &again) == PACER_WAIT &&
           again == INT64_MAX,
       "both off: never");
    s.settings.interval_ns = INT64_MAX;
    ok(pacer_due(&s.pacer, &s.settings, 1000 * S, 1000 * MB, &again) == PACER_WAIT &&
           again == INT64_MAX,
       "an interval beyond the clock is never");
}

static void test_both(void)
{
    struct simulation s = start(100, 5 * S, 2);
    while (s.now < 20 * S)
        step(&s, 100 * MB);
    is(s.grown, 1, "growth and interval together: one by growth");
    is(s.timed, 3, "and the rest by time");
    int64_t again;
    pacer_due(&s.pacer, &s.settings, s.pacer.end_ns, 100 * MB, &again);
    is(again, s.pacer.end_ns + 5 * S, "the next look is when the interval is over");
}

/* A program in which no cycle can be done. */
static void test_refused(void)
{
    struct simulation s = start(100, PACER_OFF, 2);
    s.fails = true;
    s.cpu_per_mb = s.pause_per_mb = 0;
    while (s.now < 100 * S)
        step(&s, 100 * MB);
    /* 10, 20, ... ms and then 10 s: 10 up to 10.23 s, 11 at 20 s, ... */
    ok(s.grown >= 15 && s.grown <= 20, "100 s in which none can be done: tried %u times", s.grown);
    s.fails = false;
    while (s.now < 120 * S)
        step(&s, 100 * MB);
    unsigned done = s.grown;
    for (int i = 0; i < 100; i++)
        step(&s, 100 * MB * (i + 2));
    ok(s.grown > done + 2, "one that can is followed by others at once: %u", s.grown - done);

    s = start(PACER_OFF, 50 * MS, 2);
    s.fails = true;
    s.cpu_per_mb = 0;
    while (s.now < 60 * S)
        step(&s, 1 * MB);
    ok(s.timed >= 10 && s.timed <= 25, "by time, each 50 ms: %u times in a minute", s.timed);
}

int main(void)
{
    test_refused();
    test_goal();
    test_limit();
    test_steady();
    test_doubling();
    test_oscillating();
    test_share(1);
    test_share(2);
    test_share(64);
    test_beside();
    test_long_pauses();
    test_interval();
    test_both();
    return tap_done();
}
