/* Measurements over time: points, oldest first, each a time and one value for each series.  Charts
 * read them by time, so ticks need not be even, and a pause of the reader makes no false step.
 * Where there is no room for more, those of the older half become half as many.  Pure, but for the
 * points' memory, which is malloc'ed once. */
#ifndef MEMTOP_HISTORY_H
#define MEMTOP_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HISTORY_SERIES(SERIES)                                                                     \
    /* ident, holds: whether the value holds until the next point, or at its own time only */      \
    SERIES(HEAP, true)       /* bytes in use */                                                    \
    SERIES(REACHABLE, true)  /* bytes, of the last cycle */                                        \
    SERIES(GOAL, true)       /* bytes */                                                           \
    SERIES(RSS, true)        /* bytes */                                                           \
    SERIES(OBJECTS, true)    /* live */                                                            \
    SERIES(ALLOC_RATE, true) /* bytes a second */                                                  \
    SERIES(PAUSE, false)     /* ns, the longest since the point before */

enum history_series {
#define SERIES(ident, holds) HISTORY_##ident,
    HISTORY_SERIES(SERIES)
#undef SERIES
        HISTORY_SERIES_COUNT
};

struct history_point {
    int64_t time_ns;
    bool gap; /* nothing is known of the time between the point before and this one */
    double value[HISTORY_SERIES_COUNT]; /* NAN: not known */
};

struct history {
    struct history_point *points;
    size_t capacity, count;
};

/* False: no memory; the history is then empty, and stays so. */
bool history_init(struct history *history, size_t capacity);
void history_fini(struct history *history);
/* A point of which no value is known. */
struct history_point history_blank(int64_t time_ns);
/* Adds a point.  Times never go back: a point that is older
 * than the last takes the last one's time. */
void history_push(struct history *history, const struct history_point *point);
/* The newest, or NULL. */
const struct history_point *history_last(const struct history *history);

/* The last known value of a series up to a time; NAN if there is none, or the time is in a gap. */
double history_value(const struct history *history, enum history_series series, int64_t until_ns);

/* Fills `out` with `count` values for the `span_ns` that end at `end_ns`, oldest first; NAN where
 * nothing is known.  Of several points in one of the `count` spans the last counts or, of a series
 * that does not hold, the greatest. */
void history_window(const struct history *history, enum history_series series, int64_t end_ns,
                    int64_t span_ns, double *out, size_t count);

/* How much the series has changed over the last `span_ns`, or since its first value if that is
 * younger; *seconds gets over how long.  NAN and 0 if nothing is known. */
double history_change(const struct history *history, enum history_series series, int64_t span_ns,
                      double *seconds);
/* Seconds from the oldest point to the newest. */
double history_seconds(const struct history *history);

/* The least of the values that `percent` % of them do not exceed; NAN if there are none.  Sorts
 * them in place. */
double quantile(double *values, size_t count, double percent);

#endif
