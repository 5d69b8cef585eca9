/* Whether a stopped thread may be in the middle of the allocator's code, where neither the records
 * of the allocator nor the thread's cache are what they will be.
 *
 * Where in doubt it is. */
#ifndef GC_ROOTS_INSIDE_H
#define GC_ROOTS_INSIDE_H

#include "gc/stop/world.h"

#include <stdbool.h>

/* In a copy made in the stop (fault.h): takes no lock.  `thread` is PARKED or BLOCKED. */
bool inside_allocator(const struct world_thread *thread);

#endif
