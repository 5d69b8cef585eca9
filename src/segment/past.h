/* The past of the segment's counters: points in rings, each ring thinner than the one before it
 * (struct md_past says what a point is).  A point costs constant time, and no waiting: who finds
 * the rings taken leaves it. */
#ifndef SEGMENT_PAST_H
#define SEGMENT_PAST_H

#include "base/compiler.h"
#include "segment/tables.h"

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stdint.h>

enum { PAST_RINGS = 4 };

/* Which places of the section are whose, and in use.  Pure: no clock, no memory. */
struct past {
    struct past_ring {
        uint64_t interval_ns; /* of each such time the last point is kept */
        uint32_t first, room; /* its places */
        uint64_t added;       /* points, so far */
        uint32_t pause_us;    /* of points since its last that are not kept */
        uint32_t flags;       /* of these, and MD_PAST_HOLE where one had no room */
    } ring[PAST_RINGS];
    uint64_t last_ns; /* time of the last point */
};

/* Empty rings in a section of so many entries: PAST_POINTS, or fewer, at least 64. */
void past_begin(struct past *past, uint64_t entries);
/* Whether a point of `time_ns` is the last of its interval in the first ring, now that it is
 * `now_ns`, and later than all there are. */
bool past_wants(const struct past *past, uint64_t time_ns, uint64_t now_ns);
/* Entries from the start of the section that the next point may need. */
uint64_t past_needs(const struct past *past);
/* Adds a point to `entries`, of which `have` are there; `seq` does not matter.  The oldest of a
 * full ring goes on to the next one, where it stays if it is the last of its interval there.  A
 * reader that goes through the entries in order finds each point at least once. */
void past_add(struct past *past, struct md_past *entries, uint64_t have,
              const struct md_past *point);

/* The same for this process's segment. */

/* When the next point may be due: written by past_publish. */
extern int64_t past_due_ns;
static inline bool past_due(int64_t now_ns)
{
    return UNLIKELY(now_ns >= __atomic_load_n(&past_due_ns, __ATOMIC_RELAXED));
}
/* Before a publication at `now_ns`, which is due: adds what was published last, if that was in
 * another second. */
void past_publish(struct tables *tables, int64_t now_ns);
/* A cycle has been done; before it is published, and after what is due is. */
void past_cycle(const struct md_cycle *cycle);
/* Keeps everybody from the rings, while their tables move.  False: they are taken. */
bool past_hold(void);
void past_let_go(void);
/* In a forked copy: it begins with no past, as what was before is its parent's. */
void past_postfork_child(void);

#endif
