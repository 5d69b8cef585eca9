/* Who pins: of the free room in partly used slabs, the share of each call site's blocks, told in
 * buckets of kind MD_BUCKET_PINNED.  A sample stands for w blocks like it, so w times its own share
 * of its own slab's free room is an estimate of theirs, without bias where the sample lies in that
 * slab.  Where it lies apart (the plain variant) its sibling's slab tells.
 *
 * Costs nothing until somebody asks, but for eight bytes for each live sample that lies apart. */
#ifndef PROF_PINS_H
#define PROF_PINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A block's share, in bytes (malloc/slabs.h). */
typedef double pins_share(uintptr_t at, size_t size, bool there);

/* The sample in `slot` lies apart from others of its kind, which lie at `sibling`; 0: not known.
 * The tables are locked. */
void pins_apart_locked(uint32_t slot, uintptr_t sibling);

/* Begins to add up anew. */
void pins_begin(void);
enum pins_state {
    PINS_MORE,   /* there is more to do: what was told before remains until then */
    PINS_TOLD,   /* all is told */
    PINS_REFUSED /* or not: there was no room for some of it */
};
/* Goes on, with 128 samples or buckets: some 50 us, of which the tables are locked for
 * some 10 at a time.  One thread at a time, not inside the profiler; after segment_check. */
enum pins_state pins_step(pins_share *share);
/* In a forked copy, whose table of buckets is empty. */
void pins_postfork_child(void);

#endif
