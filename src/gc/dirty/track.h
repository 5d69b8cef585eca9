/* Which pages of the program have been written to since a moment, without a stop and without its
 * noticing: userfaultfd in asynchronous write-protect mode (Linux 6.7), where the kernel itself
 * takes the fault at a page's first write, notes it and goes on (1.3 us), and PAGEMAP_SCAN to ask
 * (pagemap.h).  System calls that write into a page are noted too.
 *
 * What is watched: the heap, the object map beside it, and larger private mappings of the program
 * (data of modules, pools); for the time of a cycle, so that the program may register what it likes
 * with a userfaultfd of its own.  To take it back, which disarms, costs 40 ms a GB, a tenth more
 * than to disarm alone (measured).  Only mappings that have barren pages stay (barren.h).  One that
 * the program has registered itself is left to it.
 *
 * On the tracer thread, whose descriptor table holds the descriptor; with extents pinned.  The task
 * that marks reads `track`, which does not change meanwhile. */
#ifndef GC_DIRTY_TRACK_H
#define GC_DIRTY_TRACK_H

#include "heap/extents.h"

#include <stdbool.h>
#include <stdint.h>

#define TRACK_RANGES 8192
/* What has been armed by the last track_arm: the heap, from `first_map` on the object map, from
 * `first_root` on roots; each of the three sorted. */
struct track {
    struct extent *ranges;
    unsigned count, first_map, first_root;
};
extern struct track track;

/* Mappings smaller than this are looked at in the stop instead. */
#define TRACK_MIN ((uintptr_t)256 << 10)

/* Whether this process can do it: asked of the kernel once, in a task that may be killed for asking
 * (seccomp).  NULL, or why not. */
const char *track_open(void);
/* Registers what is new, and begins anew with everything.  NULL, or why not. */
const char *track_arm(void);
/* From here on a first write costs the program nothing more, and nothing is registered, but for
 * mappings in which there are pages that stay tracked, as they need not be looked at again
 * (barren.h).  With the program running. */
void track_disarm(void);
/* When the tracer thread has ended, and in a forked copy. */
void track_postfork_child(void);

#endif
