/* What a mark in place still looks for: blocks that nothing has reached yet, apart from those that
 * are known to be lost, which two full looks, one after the other, have found unreachable.  What
 * cannot be reached once never will be; twice, as one look may have missed a pointer in flight, or
 * in a register of a thread that could not be parked.
 *
 * A mark only ever takes blocks away from that set.  So when it is empty there is nothing left that
 * could be found, on written pages or in a stop.  That is what makes the pause of a heap of many GB
 * that of a small one, as long as the program loses nothing new.
 *
 * A block may not be lost that two looks have found so: its pointer was disguised, or in memory or
 * in a register that neither could see.  Or it is freed after all, and another has its address. The
 * mark beside the program finds such a block, unless its pointer is never where it looks just then:
 * in registers, or on pages written to meanwhile.  Then it counts as unreachable until the next
 * full look, after at most SOUGHT_TRUST cycles without one.  What is named a leak does not change
 * in these: it takes two full looks at the same object (leaks_find).
 *
 * In the task that marks, except where it says otherwise. */
#ifndef GC_SOUGHT_H
#define GC_SOUGHT_H

#include "gc/mark.h"

#include <stdbool.h>
#include <stdint.h>

#define SOUGHT_PAGES 4096u /* listed at most */
#define SOUGHT_LOST 65536u /* blocks, likewise; more are sought in each cycle */
#define SOUGHT_TRUST 16u   /* cycles in a row without a full look */

struct sought_page {
    uintptr_t page;
    uint64_t bits[4]; /* as white ones */
};

struct sought {
    struct sought_page *pages; /* kept from cycle to cycle, as all of this */
    unsigned page_count;
    bool many; /* more pages than there is room for */
    /* Blocks unreachable at the end of the last cycle, ascending; with bit 0 those that are known.
     * The other list is for the next. */
    uintptr_t *lost, *other;
    unsigned lost_count;
    unsigned trusted; /* cycles since the last full look */
};

/* On the tracer thread, before a cycle.  Without memory everything is sought all the time. */
void sought_prepare(struct sought *sought);
/* Between mark_note_reached, or an earlier call, and another mark_from: lists what is sought. Costs
 * a look at a byte for each page of the heap. */
void sought_gather(struct sought *sought, const struct mark *mark);
/* Whether anything of what was listed has not been reached meanwhile.  After mark_finish.  Each
 * page is looked at until nothing is sought on it, so that all calls together cost as much as the
 * list is long. */
bool sought_any(struct sought *sought, const struct heap_index *index);
/* At the end of a cycle; `full`: something was sought to the end, so everything was looked at. */
void sought_keep(struct sought *sought, const struct heap_index *index, bool full);
/* Nothing is known any more: in a forked copy, and where the last cycle was another engine's, or
 * was not told, so that what is said of samples is not what this knows. */
void sought_forget(struct sought *sought);

#endif
