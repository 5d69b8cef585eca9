/* What a mark in place still looks for: blocks that nothing has reached yet, apart from those that
 * are known to be lost, which two full looks, one after the other, have found unreachable.  What
 * cannot be reached once never will be; twice, as one look may have missed a pointer in flight, or
 * in a register of a thread that could not be parked.
 *
 * A mark only ever takes blocks away from that set.  So when it is empty there is nothing left that
 * could be found, on written pages or in a stop.  That is what makes the pause of a heap of many GB
 * that of a small one, as long as the program loses nothing new.
 *
 * What two looks have found lost may still be in use: its pointer was disguised, or in memory or in
 * a register that neither could see.  Or it is freed after all, and another block has its address.
 * The mark beside the program finds such a block, unless its pointer is never where the mark looks
 * just then: in registers, or on pages written to meanwhile.  Then it counts as unreachable until
 * the next full look, after at most CANDIDATES_TRUST cycles without one.  What is named a leak does
 * not change in these: it takes two full looks at the same object (unreached_find).
 *
 * In the task that marks, or while there is none. */
#ifndef GC_DIRTY_CANDIDATES_H
#define GC_DIRTY_CANDIDATES_H

#include "gc/mark/mark.h"

#include <stdbool.h>
#include <stdint.h>

#define CANDIDATE_PAGES 4096u  /* listed at most */
#define CANDIDATES_LOST 65536u /* blocks, likewise; more are candidates in each cycle */
#define CANDIDATES_TRUST 16u   /* cycles in a row without a full look */

struct candidate_page {
    uintptr_t page;
    uint64_t bits[4]; /* as white ones */
};

struct candidates {
    struct candidate_page *pages; /* kept from cycle to cycle, as all of this */
    unsigned page_count;
    bool many; /* more pages than there is room for */
    /* Blocks unreachable at the end of the last cycle, ascending; with bit 0 those that are known.
     * The other list is for the next. */
    uintptr_t *lost, *other;
    unsigned lost_count;
    unsigned trusted; /* cycles since the last full look */
};

/* Before a cycle.  Without memory everything is a candidate all the time. */
void candidates_prepare(struct candidates *set);
/* Between mark_note_reached, or an earlier call, and another mark_from: lists the candidates. Costs
 * a look at a byte for each page of the heap. */
void candidates_gather(struct candidates *set, const struct mark *mark);
/* Whether anything of what was listed has not been reached meanwhile.  After mark_finish.  Each
 * page is looked at until no candidate is left on it, so that all calls together cost as much as
 * the list is long. */
bool candidates_any(struct candidates *set, const struct heap_index *index);
/* At the end of a cycle; `full`: there were candidates to the end, so everything was looked at. */
void candidates_keep(struct candidates *set, const struct heap_index *index, bool full);
/* Nothing is known any more: in a forked copy, and where the last cycle was another engine's, or
 * was not told, so that what is said of samples is not what this knows. */
void candidates_forget(struct candidates *set);

#endif
