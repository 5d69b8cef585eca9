/* Finding the written pages of a large heap by two tasks at once: the kernel goes through the page
 * tables at 0.7 ms a GB, and of a heap of many GB that is most of a pause.  The second half of the
 * address range is offered to the scout, a task of its own; if that has not begun when the first
 * half is done (its CPU is busy), it is taken back. */
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
    const struct extent *heap; /* at work: from `from` in the first of `count` on */
    unsigned count;
    uintptr_t from;
    struct extent *runs; /* found, ascending */
    unsigned run_count;
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
