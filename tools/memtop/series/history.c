#include "history.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const bool holds[] = {
#define SERIES(ident, stays) stays,
    HISTORY_SERIES(SERIES)
#undef SERIES
};

bool history_init(struct history *history, size_t capacity)
{
    *history = (struct history){0};
    history->points = calloc(capacity, sizeof history->points[0]);
    history->capacity = history->points ? capacity : 0;
    return history->points != NULL;
}

void history_fini(struct history *history)
{
    free(history->points);
    *history = (struct history){0};
}

struct history_point history_blank(int64_t time_ns)
{
    struct history_point point = {.time_ns = time_ns};
    for (size_t i = 0; i < HISTORY_SERIES_COUNT; i++)
        point.value[i] = NAN;
    return point;
}

static struct history_point *point_at(const struct history *history, size_t index)
{
    return &history->points[index];
}

/* Into the later of two goes what only the earlier one knows, and the greater of what does not
 * hold. */
static void merge(struct history_point *later, const struct history_point *earlier)
{
    later->gap = later->gap || earlier->gap;
    for (size_t i = 0; i < HISTORY_SERIES_COUNT; i++)
        if (isnan(later->value[i]) || (!holds[i] && earlier->value[i] > later->value[i]))
            later->value[i] = earlier->value[i];
}

/* Of the older half each second point is merged into the one after it. */
static void thin(struct history *history)
{
    size_t half = history->count / 2 & ~(size_t)1, kept = 0;
    if (!history->points)
        return;
    for (size_t i = 0; i < half; i += 2) {
        merge(&history->points[i + 1], &history->points[i]);
        history->points[kept++] = history->points[i + 1];
    }
    memmove(&history->points[kept], &history->points[half],
            (history->count - half) * sizeof history->points[0]);
    history->count -= half - kept;
}

const struct history_point *history_last(const struct history *history)
{
    return history->count > 0 ? point_at(history, history->count - 1) : NULL;
}

double history_value(const struct history *history, enum history_series series, int64_t until_ns)
{
    for (size_t back = history->count; back > 0; back--) {
        const struct history_point *point = point_at(history, back - 1);
        if (point->time_ns <= until_ns && !isnan(point->value[series]))
            return point->value[series];
        if (point->gap && point->time_ns > until_ns && back > 1 &&
            point_at(history, back - 2)->time_ns < until_ns)
            break;
    }
    return NAN;
}

void history_push(struct history *history, const struct history_point *point)
{
    if (history->capacity == 0)
        return;
    const struct history_point *last = history_last(history);
    int64_t time_ns = last && last->time_ns > point->time_ns ? last->time_ns : point->time_ns;
    if (history->count == history->capacity)
        thin(history);
    if (history->count < history->capacity)
        history->count++;
    struct history_point *slot = point_at(history, history->count - 1);
    *slot = *point;
    slot->time_ns = time_ns;
}

/* The column, of `count` in the span that ends `column_ns` * count after `start_ns`, in which a
 * time lies.  A column has the times (from, to], so that a point at the end is in the last one. */
static size_t column_of(int64_t time_ns, int64_t start_ns, double column_ns, size_t count)
{
    if (time_ns <= start_ns)
        return 0;
    size_t column = (size_t)(((double)(time_ns - start_ns) - 1) / column_ns);
    return column < count ? column : count - 1;
}

/* Takes away what holds over a time of which nothing is known. */
static void cut_gaps(const struct history *history, int64_t start_ns, double column_ns, double *out,
                     size_t count)
{
    for (size_t i = 1; i < history->count; i++) {
        const struct history_point *point = point_at(history, i);
        if (!point->gap || point->time_ns <= start_ns)
            continue;
        int64_t before_ns = point_at(history, i - 1)->time_ns;
        size_t column =
            before_ns <= start_ns ? 0 : column_of(before_ns, start_ns, column_ns, count) + 1;
        int64_t span_ns = (int64_t)(column_ns * (double)count);
        size_t end = point->time_ns > start_ns + span_ns
                         ? count
                         : column_of(point->time_ns, start_ns, column_ns, count);
        for (; column < end; column++)
            out[column] = NAN;
    }
}

void history_window(const struct history *history, enum history_series series, int64_t end_ns,
                    int64_t span_ns, double *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = NAN;
    if (count == 0 || span_ns <= 0)
        return;
    double column_ns = (double)span_ns / (double)count;
    int64_t start_ns = end_ns - span_ns;
    double before = NAN; /* the last value in front of the window */
    for (size_t i = 0; i < history->count; i++) {
        const struct history_point *point = point_at(history, i);
        double value = point->value[series];
        if (isnan(value) || point->time_ns > end_ns)
            continue;
        if (point->time_ns <= start_ns) {
            before = value;
            continue;
        }
        size_t column = column_of(point->time_ns, start_ns, column_ns, count);
        if (holds[series] || isnan(out[column]) || value > out[column])
            out[column] = value;
    }
    if (!holds[series])
        return;
    const struct history_point *last = history_last(history);
    for (size_t i = 0; i < count; i++) {
        if (!isnan(out[i]))
            before = out[i];
        else if (last && (double)(last->time_ns - start_ns) > (double)i * column_ns)
            out[i] = before;
    }
    cut_gaps(history, start_ns, column_ns, out, count);
}

double history_change(const struct history *history, enum history_series series, int64_t span_ns,
                      double *seconds)
{
    const struct history_point *last = history_last(history), *base = NULL;
    *seconds = 0;
    for (size_t i = 0; i < history->count; i++) {
        const struct history_point *point = point_at(history, i);
        if (isnan(point->value[series]))
            continue;
        if (base && last->time_ns - point->time_ns < span_ns)
            break;
        base = point;
    }
    if (!base || isnan(last->value[series]))
        return NAN;
    *seconds = (double)(last->time_ns - base->time_ns) / 1e9;
    return last->value[series] - base->value[series];
}

double history_seconds(const struct history *history)
{
    const struct history_point *last = history_last(history);
    return last ? (double)(last->time_ns - point_at(history, 0)->time_ns) / 1e9 : 0;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double quantile(double *values, size_t count, double percent)
{
    if (count == 0)
        return NAN;
    qsort(values, count, sizeof values[0], by_value);
    /* By nearest rank: a value that occurred, never one between two. */
    size_t rank = (size_t)ceil(percent / 100 * (double)count);
    return values[rank == 0 ? 0 : rank > count ? count - 1 : rank - 1];
}
