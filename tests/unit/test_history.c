/* tools/memtop/history.c: points in time to columns of a chart; rates; quantiles. */
#include "history.h"
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
    is(history.count, 4, "a full ring stays as it is");
    is(history_last(&history)->value[HISTORY_HEAP], 10, "with the newest");
    push(&history, 3, 11, NAN);
    is(history_last(&history)->time_ns, 10 * SECOND, "time does not go back");
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
    ok(isnan(rate_update(&rate, SECOND, 100)), "the first reading has no rate");
    is(rate_update(&rate, 3 * SECOND, 300), 100, "growth by time");
    is(rate_update(&rate, 4 * SECOND, 300), 0, "none");
    ok(isnan(rate_update(&rate, 4 * SECOND, 400)), "no time, no rate");
    ok(isnan(rate_update(&rate, 5 * SECOND, 1)), "a counter that went back is another's");
    is(rate_update(&rate, 6 * SECOND, 11), 10, "and counts from there");
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
    test_change();
    test_rate();
    test_quantile();
    return tap_done();
}
