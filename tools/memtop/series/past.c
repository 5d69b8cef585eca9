#include "past.h"

#include "cycles.h"
#include "ndjson.h"

#include <math.h>

#define SECOND_NS INT64_C(1000000000)

static double in_use(uint64_t allocated, uint64_t freed)
{
    return allocated > freed ? (double)(allocated - freed) : 0;
}

static double known(uint64_t value)
{
    return value == MD_PAST_UNKNOWN ? NAN : (double)value;
}

/* What was published last, as a point. */
static struct md_past last_published(const struct md_header *header)
{
    const struct md_counters *counters = &header->counters;
    return (struct md_past){.time_ns = counters->publish_ns,
                            .alloc_bytes = counters->alloc_bytes,
                            .free_bytes = counters->free_bytes,
                            .objects = header->flags & MD_FLAG_TRACKED &&
                                               counters->alloc_objects >= counters->free_objects
                                           ? counters->alloc_objects - counters->free_objects
                                           : MD_PAST_UNKNOWN,
                            .reachable_bytes = MD_PAST_UNKNOWN};
}

/* Anybody may have written to the segment: what cannot be is passed over. */
static bool is_possible(const struct snapshot *snapshot, const struct md_past *point)
{
    return point->time_ns >= snapshot->header.start_ns && (int64_t)point->time_ns > 0 &&
           (int64_t)point->time_ns <= snapshot->taken_ns;
}

/* The mean from one to the other; NAN: they do not tell. */
static double rate_between(uint64_t from, uint64_t from_ns, uint64_t to, uint64_t to_ns)
{
    return to_ns > from_ns && to >= from ? (double)(to - from) / (double)(to_ns - from_ns) * 1e9
                                         : NAN;
}

/* Pushes the cycles from *next on that began at `until_ns` or before. */
static void push_cycles(struct history *history, const struct snapshot *snapshot, size_t *next,
                        int64_t until_ns)
{
    for (; *next < snapshot->cycle_count; ++*next) {
        const struct md_cycle *cycle = &snapshot->cycles[*next];
        int64_t time_ns = (int64_t)(snapshot->header.start_ns + cycle->start_ns);
        if (time_ns > until_ns)
            break;
        if (cycle->flags & MD_CYCLE_SKIPPED)
            continue;
        struct history_point point = history_blank(time_ns);
        point.value[HISTORY_HEAP] = (double)cycle->heap_start_bytes;
        point.value[HISTORY_REACHABLE] = (double)cycle->heap_live_bytes;
        point.value[HISTORY_GOAL] = (double)cycle->goal_bytes;
        point.value[HISTORY_PAUSE] = cycle_pause_ns(cycle);
        history_push(history, &point);
    }
}

/* `next`: the point that follows.  A rate holds from the point on, as what is in use does. */
static void push_point(struct history *history, const struct md_past *past,
                       const struct md_past *next, bool with_pause)
{
    struct history_point point = history_blank((int64_t)past->time_ns);
    point.gap = (past->flags & MD_PAST_HOLE) != 0;
    point.value[HISTORY_HEAP] = in_use(past->alloc_bytes, past->free_bytes);
    point.value[HISTORY_OBJECTS] = known(past->objects);
    point.value[HISTORY_REACHABLE] = known(past->reachable_bytes);
    point.value[HISTORY_ALLOC_RATE] =
        rate_between(past->alloc_bytes, past->time_ns, next->alloc_bytes, next->time_ns);
    if (with_pause && past->pause_us)
        point.value[HISTORY_PAUSE] = (double)past->pause_us * 1000;
    history_push(history, &point);
}

void past_fill(struct history *history, const struct snapshot *snapshot)
{
    struct md_past last = last_published(&snapshot->header);
    size_t cycle = 0;
    for (size_t i = 0; i < snapshot->past_count; i++) {
        const struct md_past *past = &snapshot->past[i];
        if (!is_possible(snapshot, past))
            continue;
        bool before_cycles = cycle == 0;
        push_cycles(history, snapshot, &cycle, (int64_t)past->time_ns);
        /* From there on cycles say exactly when each pause was. */
        before_cycles = before_cycles && cycle == 0;
        push_point(history, past, i + 1 < snapshot->past_count ? past + 1 : &last, before_cycles);
    }
    push_cycles(history, snapshot, &cycle, snapshot->taken_ns);
    if (!is_possible(snapshot, &last) || !snapshot->past_count)
        return;
    struct history_point point = history_blank((int64_t)last.time_ns);
    point.value[HISTORY_HEAP] = in_use(last.alloc_bytes, last.free_bytes);
    point.value[HISTORY_OBJECTS] = known(last.objects);
    /* Since then only what threads keep back. */
    if (snapshot->taken_ns - point.time_ns > 2 * SECOND_NS)
        point.value[HISTORY_ALLOC_RATE] = 0;
    history_push(history, &point);
}

static void seed(struct rate *rate, uint64_t from, uint64_t from_ns, uint64_t to, uint64_t to_ns)
{
    double value = rate_between(from, from_ns, to, to_ns);
    if (!isnan(value))
        *rate = (struct rate){
            (int64_t)to_ns, (int64_t)to_ns, to, true, (double)(to_ns - from_ns) / 1e9, value};
}

void past_rates(const struct snapshot *snapshot, struct rate *allocated, struct rate *freed)
{
    struct md_past last = last_published(&snapshot->header);
    size_t i = snapshot->past_count;
    while (i > 0 && snapshot->past[i - 1].time_ns + SECOND_NS > last.time_ns)
        i--;
    if (i == 0 || !is_possible(snapshot, &last) || !is_possible(snapshot, &snapshot->past[i - 1]))
        return;
    const struct md_past *from = &snapshot->past[i - 1];
    seed(allocated, from->alloc_bytes, from->time_ns, last.alloc_bytes, last.time_ns);
    seed(freed, from->free_bytes, from->time_ns, last.free_bytes, last.time_ns);
}

json_t *past_json(const struct snapshot *snapshot)
{
    const struct md_header *header = &snapshot->header;
    if (!snapshot_has(snapshot, MD_SECTION_PAST))
        return json_null();
    json_t *points = json_array();
    for (size_t i = 0; i < snapshot->past_count; i++) {
        const struct md_past *past = &snapshot->past[i];
        if (!is_possible(snapshot, past))
            continue;
        double at_ns =
            (double)header->start_realtime_ns + (double)(past->time_ns - header->start_ns);
        json_t *point = json_object();
        json_object_set_new(point, "time_seconds", ndjson_number(round(at_ns / 1e6) / 1e3));
        json_object_set_new(point, "heap_bytes",
                            ndjson_number(in_use(past->alloc_bytes, past->free_bytes)));
        json_object_set_new(point, "alloc_bytes", ndjson_number((double)past->alloc_bytes));
        json_object_set_new(point, "free_bytes", ndjson_number((double)past->free_bytes));
        json_object_set_new(point, "live_objects", ndjson_number(known(past->objects)));
        json_object_set_new(point, "cycles", json_integer(past->cycles));
        json_object_set_new(point, "reachable_bytes", ndjson_number(known(past->reachable_bytes)));
        json_object_set_new(point, "leaked_bytes", ndjson_number(known(past->leaked_bytes)));
        json_object_set_new(point, "pause_max_ns",
                            ndjson_number(past->pause_us ? (double)past->pause_us * 1000 : NAN));
        json_object_set_new(point, "gap_before", json_boolean(past->flags & MD_PAST_HOLE));
        json_array_append_new(points, point);
    }
    return points;
}
