/* Finding the written pages of a large heap by two tasks at once: the kernel goes through the page
 * tables at 0.7 ms a GB, and of a heap of many GB that is most of a pause.  The heap is cut into
 * slices, of which the marker and the scout, a task of its own, each take the next when they are
 * done with one; the marker looks at what both find.  So neither waits long for the other, and a
 * scout whose CPU is busy costs nothing. */
#ifndef GC_SCOUT_H
#define GC_SCOUT_H

#include "gc/remark.h"
#include "gc/task.h"

#include <stdbool.h>
#include <stdint.h>

#define SCOUT_LEAST (UINT64_C(512) << 20) /* below this heap one task is as fast */
#define SCOUT_RUNS 65536u

struct scout {
    struct task task;
    uint32_t state; /* futex */
    bool rearm;
    const struct extent *heap; /* at work */
    unsigned count;
    uint64_t total, slice; /* bytes of it, and of what is taken at a time */
    uint64_t taken;        /* so far, by either; those of all extents counted through */
    struct extent *runs;   /* found by the scout, ascending */
    uint32_t run_count, most; /* at most SCOUT_RUNS; tests have fewer */
    struct extent missed; /* where runs lie for which there was no room */
};

/* On the tracer thread, signals blocked.  NULL: runs.  Else the heap is gone through by one. */
const char *scout_start(struct scout *scout);
/* Ends it. */
void scout_end(struct scout *scout);

/* In the task that marks: gives each page of the heap that counts as written to remark_pages; with
 * `rearm` it does not any longer. */
void scout_heap(struct scout *scout, struct remark *remark, const struct extent *heap,
                unsigned count, bool rearm);

#endif
