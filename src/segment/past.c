#include "segment/past.h"

#include "base/compiler.h"
#include "base/lock.h"

#include <string.h>

#define SECOND_NS UINT64_C(1000000000)
#define REFUSED_NS INT64_C(60000000000) /* until memory is asked for again */

/* 600 seconds; then two hours, a day, a week. */
static const struct {
    uint64_t interval_ns;
    uint32_t points;
} plan[PAST_RINGS] = {
    {SECOND_NS, 600}, {10 * SECOND_NS, 720}, {60 * SECOND_NS, 1440}, {600 * SECOND_NS, 1008}};
_Static_assert(600 + 720 + 1440 + 1008 == PAST_POINTS, "each ring has its share of the section");

void past_begin(struct past *past, uint64_t entries)
{
    uint64_t points = MIN(entries, (uint64_t)PAST_POINTS);
    uint32_t first = 0;
    *past = (struct past){0};
    for (unsigned i = 0; i < PAST_RINGS; i++) {
        uint32_t room = (uint32_t)(plan[i].points * points / PAST_POINTS);
        past->ring[i] =
            (struct past_ring){.interval_ns = plan[i].interval_ns, .first = first, .room = room};
        first += room;
    }
}

static bool same_interval(const struct past_ring *ring, uint64_t a_ns, uint64_t b_ns)
{
    return a_ns / ring->interval_ns == b_ns / ring->interval_ns;
}

bool past_wants(const struct past *past, uint64_t time_ns, uint64_t now_ns)
{
    return time_ns > past->last_ns && time_ns < now_ns &&
           !same_interval(&past->ring[0], time_ns, now_ns);
}

uint64_t past_needs(const struct past *past)
{
    const struct past_ring *ring = past->ring;
    while (ring < &past->ring[PAST_RINGS - 1] && ring->added >= ring->room)
        ring++;
    return ring->first + MIN(ring->added + 1, ring->room);
}

/* As segment_add_cycle does. */
static void put(struct md_past *place, const struct md_past *point)
{
    uint32_t seq = place->seq | 1;
    __atomic_store_n(&place->seq, seq, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    memcpy((char *)place + sizeof place->seq, (const char *)point + sizeof place->seq,
           sizeof *place - sizeof place->seq);
    __atomic_store_n(&place->seq, seq + 1, __ATOMIC_RELEASE);
}

static void merge(struct md_past *point, const struct past_ring *left_out)
{
    point->pause_us = MAX(point->pause_us, left_out->pause_us);
    point->flags |= left_out->flags;
}

static void leave_out(struct past_ring *ring, const struct md_past *point)
{
    ring->pause_us = point->pause_us;
    ring->flags = point->flags;
}

/* Adds to ring `which`: to the next one first, which what has to make way goes to. */
static void add(struct past *past, struct md_past *entries, uint64_t have, unsigned which,
                struct md_past point)
{
    struct past_ring *ring = &past->ring[which];
    uint64_t place = ring->first + ring->added % ring->room;
    merge(&point, ring);
    if (place >= have) {
        leave_out(ring, &point);
        ring->flags |= MD_PAST_HOLE;
        return;
    }
    if (ring->added >= ring->room && which + 1 < PAST_RINGS) {
        struct past_ring *next = ring + 1;
        struct md_past oldest = entries[place];
        uint64_t after = ring->first + (ring->added + 1) % ring->room;
        if (same_interval(next, oldest.time_ns, entries[after].time_ns)) {
            merge(&oldest, next);
            leave_out(next, &oldest);
        } else {
            add(past, entries, have, which + 1, oldest);
        }
    }
    leave_out(ring, &(struct md_past){0});
    put(&entries[place], &point);
    ring->added++;
}

void past_add(struct past *past, struct md_past *entries, uint64_t have,
              const struct md_past *point)
{
    past->last_ns = point->time_ns;
    add(past, entries, have, 0, *point);
}

/* ---- of this process ---- */

int64_t past_due_ns;

/* All below is guarded by it. */
static struct lock past_lock = LOCK_INIT(LOCK_PAST);
static struct past rings;
static int64_t refused_ns; /* when memory for more was refused; 0: it was not */
static struct {
    bool any, leaks_known;
    uint64_t reachable_bytes, leaked_bytes;
    uint64_t pause_ns; /* the longest since the last point */
} cycles;

static uint64_t load(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static uint64_t difference(uint64_t more, uint64_t less)
{
    return more > less ? more - less : 0;
}

/* What the header says now. */
static struct md_past published(const struct md_header *header)
{
    const struct md_counters *c = &header->counters;
    bool counted = (header->flags & MD_FLAG_TRACKED) != 0;
    return (struct md_past){
        .pause_us = (uint32_t)MIN((cycles.pause_ns + 999) / 1000, (uint64_t)UINT32_MAX),
        .cycles = (uint32_t)load(&c->cycles),
        .time_ns = load(&c->publish_ns),
        .alloc_bytes = load(&c->alloc_bytes),
        .free_bytes = load(&c->free_bytes),
        .objects =
            counted ? difference(load(&c->alloc_objects), load(&c->free_objects)) : MD_PAST_UNKNOWN,
        .reachable_bytes = cycles.any ? cycles.reachable_bytes : MD_PAST_UNKNOWN,
        .leaked_bytes = cycles.leaks_known ? cycles.leaked_bytes : MD_PAST_UNKNOWN};
}

/* Room for the next point.  Where memory is refused, points are left out for a while, which the
 * next one tells. */
static void make_room(struct tables *tables, int64_t now_ns)
{
    uint64_t needs = past_needs(&rings);
    if (needs > tables->grown[MD_SECTION_PAST] &&
        (!refused_ns || now_ns - refused_ns >= REFUSED_NS))
        refused_ns = tables_grow(tables, MD_SECTION_PAST, needs) ? 0 : now_ns;
    needs = MIN(needs, tables->grown[MD_SECTION_PAST]);
    if (needs > tables->count[MD_SECTION_PAST])
        tables_set_count(tables, MD_SECTION_PAST, needs);
}

void past_publish(struct tables *tables, int64_t now_ns)
{
    if (!lock_try(&past_lock))
        return;
    if (!tables->count[MD_SECTION_PAST])
        past_begin(&rings, tables->capacity[MD_SECTION_PAST]);
    struct md_past point = published(tables->header);
    if (past_wants(&rings, point.time_ns, (uint64_t)now_ns)) {
        make_room(tables, now_ns);
        past_add(&rings, tables->table[MD_SECTION_PAST], tables->count[MD_SECTION_PAST], &point);
        cycles.pause_ns = 0;
    }
    uint64_t next_ns = ((uint64_t)now_ns / SECOND_NS + 1) * SECOND_NS;
    __atomic_store_n(&past_due_ns, (int64_t)next_ns, __ATOMIC_RELAXED);
    lock_release(&past_lock);
}

void past_cycle(const struct md_cycle *cycle)
{
    if (cycle->flags & MD_CYCLE_SKIPPED)
        return;
    lock_take(&past_lock);
    cycles.any = true;
    cycles.reachable_bytes = cycle->heap_live_bytes;
    /* Where all has been reached nothing leaks, whatever the cycle before says. */
    cycles.leaks_known = (cycle->flags & MD_CYCLE_LEAKS) || !cycle->unreachable_objects;
    cycles.leaked_bytes = cycle->unreachable_objects ? cycle->leaked_bytes : 0;
    cycles.pause_ns = MAX(cycles.pause_ns, cycle->stop1_ns + cycle->stop2_ns);
    lock_release(&past_lock);
}

bool past_hold(void)
{
    return lock_try(&past_lock);
}

void past_let_go(void)
{
    lock_release(&past_lock);
}

void past_postfork_child(void)
{
    lock_postfork_child(&past_lock);
    past_due_ns = refused_ns = 0;
    memset(&rings, 0, sizeof rings);
    memset(&cycles, 0, sizeof cycles);
}
