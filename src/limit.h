/* heapprofilelimit: a line and a profile while there still is memory to write them.
 *
 * Of a share the limits are those that end a program: memory.max of its cgroups and of those around
 * them, reckoned as the OOM killer sees it, all processes together and without caches that give
 * way; and RLIMIT_AS, by the address space.  The one with the least room counts.  A size is meant
 * of this process: its resident memory.  What is in use of the heap would leave out what grows
 * beside it.
 *
 * These figures cost some 50 us of our thread, and are looked at when the heap has taken half of
 * the room that there was, and by time: as soon as what is left could be written to, but at most a
 * hundredth of the time, and at least each second.  Where there is no limit, a share of it is
 * never reached; that is said at the first look, as it may be set yet. */
#ifndef LIMIT_H
#define LIMIT_H

#include <stdbool.h>
#include <stdint.h>

/* Before threads; `first`: MEMDEBUG was given to this process, and not to one that has started it.
 */
void limit_begin(bool first);
/* Looks if it is time to, and does what is due; returns when to look next (CLOCK_MONOTONIC ns).  On
 * our thread, which is not within a cycle then. */
int64_t limit_due(int64_t now_ns, uint64_t in_use_bytes);
/* Whether limit_due should be asked now.  At each publication, on any thread: takes no lock. */
bool limit_asks(uint64_t in_use_bytes);
void limit_postfork_child(void);

#endif
