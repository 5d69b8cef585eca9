/* src/segment/past.c: the rings of the past, by simulated time: which points stay, thinning, full
 * rings, clocks that jump, a week; and what a reader that looks at any moment finds. */
#include "segment/past.h"
#include "core_test.h"
#include "tap.h"

#include <stdlib.h>

#define SECOND UINT64_C(1000000000)
#define START (UINT64_C(1000000) * SECOND)

/* A program that publishes, and what its segment has of it. */
static struct past rings;
static struct md_past entries[PAST_POINTS];
static struct md_past last; /* what was published last */
static uint64_t have;
static bool pauses;

static void begin(uint64_t room)
{
    memset(entries, 0, sizeof entries);
    past_begin(&rings, room);
    last = (struct md_past){0};
    have = PAST_POINTS;
}

/* The count of bytes is the time, so that each point says itself when it was. */
static void publish(uint64_t now)
{
    if (past_wants(&rings, last.time_ns, now))
        past_add(&rings, entries, MIN(have, past_needs(&rings)), &last);
    last = (struct md_past){.time_ns = now, .alloc_bytes = now - START};
    if (pauses)
        last.pause_us = (uint32_t)((now - START) / SECOND);
}

static int by_time(const void *a, const void *b)
{
    uint64_t x = ((const struct md_past *)a)->time_ns, y = ((const struct md_past *)b)->time_ns;
    return x < y ? -1 : x > y;
}

static struct md_past sorted[PAST_POINTS];

/* As a reader does: by time, no time twice. */
static size_t read_all(void)
{
    size_t found = 0, count = 0;
    for (size_t i = 0; i < PAST_POINTS; i++)
        if (entries[i].time_ns)
            sorted[found++] = entries[i];
    qsort(sorted, found, sizeof *sorted, by_time);
    for (size_t i = 0; i < found; i++)
        if (!i || sorted[i].time_ns != sorted[i - 1].time_ns)
            sorted[count++] = sorted[i];
    return count;
}

/* The longest time between two points from `from` on, and to `to`. */
static uint64_t longest(size_t count, uint64_t from, uint64_t to)
{
    uint64_t most = 0, before = from;
    for (size_t i = 0; i < count; i++)
        if (sorted[i].time_ns >= from && sorted[i].time_ns <= to) {
            most = MAX(most, sorted[i].time_ns - before);
            before = sorted[i].time_ns;
        }
    return MAX(most, to - before);
}

static void test_seconds(void)
{
    begin(PAST_POINTS);
    for (uint64_t t = START; t <= START + 100 * SECOND; t += SECOND / 100)
        publish(t);
    size_t count = read_all();
    is(count, 100, "a hundred publications a second: one point a second");
    unsigned wrong = 0;
    for (size_t i = 0; i < count; i++)
        wrong += sorted[i].time_ns != START + i * SECOND + 99 * SECOND / 100 ||
                 sorted[i].alloc_bytes != sorted[i].time_ns - START;
    is(wrong, 0, "each of the last publication in it, with what was counted then");
    is(past_needs(&rings), 101, "places are used one by one");
}

static void test_idle(void)
{
    begin(PAST_POINTS);
    for (uint64_t t = START; t < START + 5 * SECOND + SECOND / 2; t += SECOND / 10)
        publish(t);
    uint64_t before = last.time_ns, after = START + 95 * SECOND;
    publish(after);
    publish(after + SECOND);
    size_t count = read_all();
    is(count, 7, "an idle time has no points");
    is(sorted[5].time_ns, before, "it begins with the last publication before it");
    is(sorted[6].time_ns, after, "and ends with the first one after it");
}

/* However it publishes. */
static void test_rarely(void)
{
    for (unsigned tenths = 1; tenths < 40; tenths += 3) {
        begin(PAST_POINTS);
        uint64_t t = START;
        for (; t < START + 1200 * SECOND; t += tenths * SECOND / 10)
            publish(t);
        size_t count = read_all();
        uint64_t step = tenths * SECOND / 10;
        uint64_t ten_minutes = longest(count, last.time_ns - 595 * SECOND, last.time_ns);
        if (!ok(ten_minutes <= MAX(2 * SECOND, step),
                "each %u tenths of a second: ten minutes of it", tenths))
            printf("# %llu ns\n", (unsigned long long)ten_minutes);
    }
}

/* A publication each half a second for more than eight days. */
static void test_week(void)
{
    static const uint64_t minute = 60 * SECOND, hour = 60 * minute, day = 24 * hour;
    begin(PAST_POINTS);
    uint64_t t = START;
    for (; t < START + 9 * day; t += SECOND / 2)
        publish(t);
    size_t count = read_all();
    is(count, PAST_POINTS, "all rings are full after nine days");
    is(past_needs(&rings), PAST_POINTS, "and no more is needed");
    is(sizeof(struct md_past) * PAST_POINTS / 1024, 235, "KiB, at most 256");
    uint64_t now = last.time_ns;
    ok(longest(count, now - 10 * minute, now) <= 2 * SECOND, "ten minutes by seconds");
    ok(longest(count, now - 2 * hour, now) <= 20 * SECOND, "two hours by 10 s");
    ok(longest(count, now - day, now) <= 2 * minute, "a day by minutes");
    ok(longest(count, now - 7 * day, now) <= 20 * minute, "a week by 10 minutes");
    ok(sorted[0].time_ns < now - 8 * day, "and some more");
    unsigned wrong = 0;
    for (size_t i = 0; i < count; i++)
        wrong += sorted[i].alloc_bytes != sorted[i].time_ns - START || sorted[i].flags;
    is(wrong, 0, "each with what was counted then");
}

/* Thinning keeps the point before an idle time, and the longest pause. */
static void test_thin(void)
{
    begin(PAST_POINTS);
    pauses = true;
    for (uint64_t t = START; t < START + 57 * SECOND; t += SECOND)
        publish(t);
    uint64_t before = last.time_ns;
    for (uint64_t t = START + 1000 * SECOND; t < START + 2000 * SECOND; t += SECOND)
        publish(t);
    pauses = false;
    size_t count = read_all(), at = 0;
    while (at < count && sorted[at].time_ns != before)
        at++;
    ok(at < count && at == 5 && sorted[at + 1].time_ns == START + 1009 * SECOND,
       "what was published last before an idle time stays, and then one of ten seconds");
    is(sorted[0].time_ns, START + 9 * SECOND, "the last one of its ten seconds");
    unsigned wrong = 0;
    for (size_t i = 1; i < count; i++)
        wrong += sorted[i].pause_us < sorted[i - 1].pause_us;
    is(wrong, 0, "each has the longest pause since the one before");
    begin(PAST_POINTS);
    for (unsigned i = 0; i < 2000; i++) {
        publish(START + i * SECOND);
        last.pause_us = i == 123 ? 77 : 1;
    }
    count = read_all();
    unsigned longest_us = 0;
    for (at = 0; at < count && !longest_us; at++)
        longest_us =
            sorted[at].pause_us == 77 && sorted[at].time_ns == START + 129 * SECOND ? 77 : 0;
    is(longest_us, 77, "of a point that was left out the next one has it");
}

static void test_jumps(void)
{
    begin(PAST_POINTS);
    for (uint64_t t = START; t < START + 20 * SECOND; t += SECOND / 4)
        publish(t);
    for (uint64_t t = START + 10 * SECOND; t < START + 15 * SECOND; t += SECOND / 4)
        publish(t); /* a thread that was held up with an old time */
    for (uint64_t t = START + 20 * SECOND; t < START + 30 * SECOND; t += SECOND / 4)
        publish(t);
    size_t count = read_all();
    unsigned wrong = 0;
    for (size_t i = 1; i < count; i++)
        wrong += sorted[i].time_ns - sorted[i - 1].time_ns > 2 * SECOND;
    ok(wrong == 0 && count >= 27, "a clock that goes back adds nothing, and takes nothing");
    publish(START + UINT64_C(40) * 86400 * SECOND);
    publish(START + UINT64_C(40) * 86400 * SECOND + SECOND);
    is(read_all(), count + 2, "forty days of nothing are nothing");
}

/* Memory is refused after the first places. */
static void test_refused(void)
{
    begin(PAST_POINTS);
    have = 256;
    for (uint64_t t = START; t < START + 400 * SECOND; t += SECOND)
        publish(t);
    is(read_all(), 256, "no point beyond the memory that there is");
    have = PAST_POINTS;
    for (uint64_t t = START + 400 * SECOND; t < START + 420 * SECOND; t += SECOND)
        publish(t);
    size_t count = read_all(), holes = 0;
    for (size_t i = 0; i < count; i++)
        holes += sorted[i].flags & MD_PAST_HOLE;
    ok(count == 276 && holes == 1 && sorted[256].flags & MD_PAST_HOLE,
       "the next one that has room says that there is a hole before it");
    have = 600; /* and none for the second ring */
    for (uint64_t t = START + 420 * SECOND; t < START + 2000 * SECOND; t += SECOND)
        publish(t);
    count = read_all();
    is(count, 600, "the first ring goes on without the next");
    is(longest(count, last.time_ns - 599 * SECOND, last.time_ns), SECOND, "with each second");
    have = PAST_POINTS;
    for (uint64_t t = START + 2000 * SECOND; t < START + 3000 * SECOND; t += SECOND)
        publish(t);
    count = read_all();
    ok(sorted[0].flags & MD_PAST_HOLE && !(sorted[1].flags & MD_PAST_HOLE),
       "the next ring begins with a hole");
}

static void test_small(void)
{
    begin(256);
    for (uint64_t t = START; t < START + 40000 * SECOND; t += SECOND)
        publish(t);
    size_t count = read_all();
    unsigned beyond = 0;
    for (size_t i = 256; i < PAST_POINTS; i++)
        beyond += entries[i].time_ns != 0;
    ok(beyond == 0 && count > 200 && count <= 256, "a small section is kept to");
    ok(longest(count, last.time_ns - 38 * SECOND, last.time_ns) == SECOND &&
           longest(count, last.time_ns - 7 * 60 * SECOND, last.time_ns) <= 20 * SECOND,
       "with less of each ring");
}

/* A reader between any two stores of past_add: a place at a time, in order, while points are added.
 */
static void test_reader(void)
{
    begin(256);
    unsigned missing = 0, rounds = 0;
    for (uint64_t n = 0; n < 30000; n++) {
        publish(START + n * SECOND);
        if (n < 2000 || n % 7)
            continue;
        /* It stands at a place of the first ring, sees what is before it as it was, and what is
         * behind it after another point. */
        static struct md_past seen[256];
        uint64_t at = draw(64);
        memcpy(seen, entries, at * sizeof *seen);
        size_t all_before = read_all();
        static struct md_past before[PAST_POINTS];
        memcpy(before, sorted, all_before * sizeof *before);
        publish(START + ++n * SECOND);
        memcpy(seen + at, entries + at, (256 - at) * sizeof *seen);
        read_all();
        for (size_t i = 0; i < all_before; i++) {
            bool there = false,
                 still = bsearch(&before[i], sorted, read_all(), sizeof *sorted, by_time) != NULL;
            for (size_t k = 0; still && k < 256 && !there; k++)
                there = seen[k].time_ns == before[i].time_ns;
            missing += still && !there;
        }
        rounds++;
        if (rounds == 100)
            break;
    }
    ok(rounds == 100 && missing == 0, "a point on its way to another ring is found in one of them");
}

int main(void)
{
    test_seconds();
    test_idle();
    test_rarely();
    test_week();
    test_thin();
    test_jumps();
    test_refused();
    test_small();
    test_reader();
    return tap_done();
}
