/* tools/memtop/series/history.c, rate.c: points in time to columns of a chart; rates; quantiles. */
#include "series/history.h"
#include "series/rate.h"
#include "support/tap.h"

#include <math.h>

#define SECOND INT64_C(1000000000)

static void push(struct history *history, int64_t seconds, double heap, double pause)
{
    struct history_point point = history_blank(seconds * SECOND);
    point.value[HISTORY_HEAP] = heap;
    point.value[HISTORY_PAUSE] = pause;
    history_push(history, &point);
}

static void test_window(void)
{
    struct history history;
    double out[10];
    history_init(&history, 100);
    history_window(&history, HISTORY_HEAP, 10 * SECOND, 10 * SECOND, out, 10);
    ok(isnan(out[0]) && isnan(out[9]), "an empty history is not known");
    for (int i = 1; i <= 10; i++)
        push(&history, i, i, i == 5 ? 7 : NAN);
    history_window(&history, HISTORY_HEAP, 10 * SECOND, 10 * SECOND, out, 10);
    bool each = true;
    for (int i = 0; i < 10; i++)
        each = each && out[i] == i + 1;
    ok(each, "one point a column");
    history_window(&history, HISTORY_PAUSE, 10 * SECOND, 10 * SECOND, out, 10);
    ok(out[4] == 7 && isnan(out[3]) && isnan(out[5]), "a pause is of its moment only");
    history_window(&history, HISTORY_HEAP, 10 * SECOND, 5 * SECOND, out, 10);
    is(out[0], 5, "before the first point in the window the last one before it holds");
    is(out[9], 10, "the end is the newest");
    history_window(&history, HISTORY_HEAP, 20 * SECOND, 20 * SECOND, out, 10);
    ok(out[4] == 10 && isnan(out[6]), "nothing is made up for the time to come");
    history_fini(&history);
}

static void test_ring(void)
{
    struct history history;
    history_init(&history, 4);
    for (int i = 1; i <= 10; i++)
        push(&history, i, i, NAN);
    ok(history.count == 4 && history.points[0].time_ns < 8 * SECOND,
       "where there is no room for more, what is old is thinned, and does not go");
    unsigned wrong = 0;
    for (size_t i = 0; i < history.count; i++)
        wrong +=
            history.points[i].time_ns != (int64_t)history.points[i].value[HISTORY_HEAP] * SECOND;
    is(wrong, 0, "each point is one that there was");
    is(history_last(&history)->value[HISTORY_HEAP], 10, "with the newest");
    push(&history, 3, 11, NAN);
    is(history_last(&history)->time_ns, 10 * SECOND, "time does not go back");
    history_fini(&history);
}

static void test_thin(void)
{
    struct history history;
    double out[100];
    history_init(&history, 64);
    for (int i = 1; i <= 1000; i++)
        push(&history, i, i, i == 3 ? 9 : i == 500 ? 7 : 1);
    history_window(&history, HISTORY_PAUSE, 1000 * SECOND, 1000 * SECOND, out, 1);
    is(out[0], 9, "the longest pause stays, however old");
    history_window(&history, HISTORY_HEAP, 1000 * SECOND, 1000 * SECOND, out, 100);
    unsigned wrong = 0;
    for (int i = 40; i < 100; i++)
        wrong += out[i] > 10 * (i + 1) || out[i] < 10 * (i + 1) - 300;
    is(wrong, 0, "what is old is known less exactly");
    is(history.points[history.count - 2].time_ns, 999 * SECOND, "what is new is not thinned");
    history_fini(&history);
}

static void test_gap(void)
{
    struct history history;
    double out[20];
    history_init(&history, 64);
    push(&history, 1, 1, NAN);
    push(&history, 5, 5, NAN);
    struct history_point point = history_blank(15 * SECOND);
    point.gap = true;
    point.value[HISTORY_HEAP] = 15;
    history_push(&history, &point);
    history_window(&history, HISTORY_HEAP, 20 * SECOND, 20 * SECOND, out, 20);
    ok(out[0] == 1 && out[3] == 1 && out[4] == 5, "a value holds up to the next point");
    ok(isnan(out[5]) && isnan(out[13]) && out[14] == 15, "but not through a gap");
    history_window(&history, HISTORY_HEAP, 20 * SECOND, 10 * SECOND, out, 10);
    ok(isnan(out[0]) && isnan(out[3]) && out[4] == 15, "that began before the window");
    history_window(&history, HISTORY_HEAP, 12 * SECOND, 4 * SECOND, out, 4);
    ok(isnan(out[0]) && isnan(out[3]), "or covers all of it");
    is(history_value(&history, HISTORY_HEAP, 5 * SECOND), 5, "the value before a gap");
    ok(isnan(history_value(&history, HISTORY_HEAP, 8 * SECOND)), "none in it");
    is(history_value(&history, HISTORY_HEAP, 15 * SECOND), 15, "and that after it");
    history_fini(&history);
}

static void test_change(void)
{
    struct history history;
    double seconds;
    history_init(&history, 100);
    ok(isnan(history_change(&history, HISTORY_HEAP, 60 * SECOND, &seconds)),
       "no points, no change");
    push(&history, 100, 10, NAN);
    is(history_change(&history, HISTORY_HEAP, 60 * SECOND, &seconds), 0, "one point: none yet");
    push(&history, 110, 15, NAN);
    is(history_change(&history, HISTORY_HEAP, 60 * SECOND, &seconds), 5, "younger than the span");
    is(seconds, 10, "says over how long");
    push(&history, 200, 40, NAN);
    is(history_change(&history, HISTORY_HEAP, 60 * SECOND, &seconds), 25,
       "since the last point that old");
    is(seconds, 90, "which says so too");
    history_fini(&history);
}

static void test_rate(void)
{
    struct rate rate = {0};
    bool bound;
    ok(isnan(rate_update(&rate, SECOND, 1, 100, 1000, &bound)), "the first reading has no rate");
    is(rate_update(&rate, 3 * SECOND, 2, 300, 1000, &bound), 100, "growth by time");
    is(rate_update(&rate, 4 * SECOND, 3, 300, 1000, &bound), 0, "none, as was published");
    is(rate_update(&rate, 5 * SECOND, 3, 400, 1000, &bound), 100,
       "what has grown has been published, whatever its clock says");
    ok(isnan(rate_update(&rate, 6 * SECOND, 4, 1, 1000, &bound)),
       "a counter that went back is another's");
    is(rate_update(&rate, 7 * SECOND, 5, 11, 1000, &bound), 10, "and counts from there");
    ok(!bound, "no bound");
}

/* 64 KiB are published every 3 s, a tenth of a second after each tick it is looked again. */
static void test_rate_between_publications(void)
{
    struct rate rate = {0};
    bool bound = true, never_zero = true, right = true, never_bound = true;
    for (int64_t tick = 0; tick < 300; tick++) {
        int64_t published = tick / 30;
        double value = rate_update(&rate, tick * SECOND / 10, published * 3 * SECOND,
                                   (uint64_t)published * 65536, 65536, &bound);
        if (tick < 30)
            continue; /* nothing known yet */
        never_zero = never_zero && value > 0;
        never_bound = never_bound && !bound;
        right = right && fabs(value - 65536 / 3.0) < 1;
    }
    ok(never_zero, "between two publications nothing is said to stand still");
    ok(right, "the rate is over the time between them");
    ok(never_bound, "and it is not a bound");
    double at_once = rate_update(&rate, 30 * SECOND, 27 * SECOND, 9 * 65536, 65536, &bound);
    ok(fabs(at_once - 65536 / 3.0) < 1 && !bound, "it stays for as long again");
    double later = rate_update(&rate, 127 * SECOND, 27 * SECOND, 9 * 65536, 65536, &bound);
    ok(bound && later > 0 && fabs(later - 65.536 * 10) < 1,
       "then it is at most what may be unpublished");
    ok(isnan(rate_update(&rate, 128 * SECOND, 27 * SECOND, 9 * 65536, NAN, &bound)) && !bound,
       "or not known where that is");
}

static void test_quantile(void)
{
    double values[] = {5, 1, 4, 2, 3};
    is(quantile(values, 5, 50), 3, "median");
    is(quantile(values, 5, 99), 5, "p99 of five is the greatest");
    is(quantile(values, 5, 0), 1, "p0 the least");
    is(quantile(values, 1, 99), 1, "of one it is that one");
    ok(isnan(quantile(values, 0, 50)), "of none it is not known");
}

int main(void)
{
    test_window();
    test_ring();
    test_thin();
    test_gap();
    test_change();
    test_rate();
    test_rate_between_publications();
    test_quantile();
    return tap_done();
}
