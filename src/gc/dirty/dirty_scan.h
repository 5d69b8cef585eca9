/* Finding the written pages of a large heap by two at once: the kernel goes through the page tables
 * at 0.7 ms a GB, and of a heap of many GB that is most of a pause.  The heap is cut into slices,
 * of which the task that marks and the tracer thread, which has nothing to do meanwhile, each take
 * the next when they are done with one; the marker looks at what both find.  So neither waits long
 * for the other, and a tracer whose CPU is busy costs nothing.
 *
 * The marker asks for it (handover.h).  Either the tracer takes that, then it alone writes the runs
 * and `missed` until it answers; or the marker withdraws it, and nothing is to come.  Both take
 * slices by adding to `taken`, so none is searched twice or left out. */
#ifndef GC_DIRTY_DIRTY_SCAN_H
#define GC_DIRTY_DIRTY_SCAN_H

#include "base/handover.h"
#include "gc/dirty/remark.h"

#include <stdbool.h>
#include <stdint.h>

#define DIRTY_SCAN_MIN (UINT64_C(128) << 20) /* below this heap one is as fast */
#define DIRTY_SCAN_RUNS 65536u

struct dirty_scan {
    uint32_t *bell; /* futex that the tracer sleeps on, rung when there is something to do */
    struct handover requests;
    uint32_t request; /* the last one; 0: none, or it has been dealt with */
    bool helped;      /* there is a list to fill, and a CPU to do it on */
    bool rearm;
    const struct extent *heap; /* at work */
    unsigned count;
    uint64_t total, slice; /* bytes of it, and of what is taken at a time */
    uint64_t taken;        /* bytes taken by either, all extents counted through; atomic */
    struct extent *runs;   /* found by the tracer, ascending; kept from cycle to cycle */
    uint32_t run_count;    /* atomic: runs below it are whole */
    uint32_t most;         /* DIRTY_SCAN_RUNS; tests have fewer */
    struct extent missed;  /* where runs lie for which there was no room */
};

/* On the tracer thread, before a cycle.  Without memory for the list the marker is alone. */
void dirty_scan_prepare(struct dirty_scan *scan, uint32_t *bell);
/* On the tracer thread: takes its part of what is offered, if anything is, until so late. */
void dirty_scan_help(struct dirty_scan *scan, int64_t end_ns);

/* In the task that marks: has the pages of the heap found that count as written to; with `rearm`
 * they do not any longer. */
void dirty_scan_offer(struct dirty_scan *scan, const struct extent *heap, unsigned count,
                      bool rearm);
/* Instead of dirty_scan_look: nothing needs to be found any more. */
void dirty_scan_call_off(struct dirty_scan *scan);
/* Then, when it has done what else it has to do: takes its own part, and gives each page found to
 * remark_pages. */
void dirty_scan_look(struct dirty_scan *scan, struct remark *remark);

#endif
