/* What a mark in place still looks for: blocks that nothing has reached yet, apart from those that
 * were unreachable at the end of the cycle before, as what cannot be reached once never will be.
 *
 * A mark only ever takes blocks away from that set.  So when it is empty the written pages need not
 * be searched any more, however many they are: there is nothing left that could be found on them.
 * That is what makes the pause of a heap of many GB the same as that of a small one, as long as the
 * program loses nothing new.
 *
 * (A pointer that was out of sight for a cycle, disguised or in memory that is not looked at, can
 * come back.  If it comes back on a page that has been written to and is not searched, the block
 * counts as unreachable for this one cycle too; the mark beside the program sees it in the next.
 * Should it have been freed in between, and another block have its address now, that one is in no
 * sample's record as unreached: leaks_find has a look.)
 *
 * In the task that marks, except where it says otherwise. */
#ifndef GC_SOUGHT_H
#define GC_SOUGHT_H

#include "gc/mark.h"

#include <stdbool.h>
#include <stdint.h>

#define SOUGHT_PAGES 4096u  /* listed at most */
#define SOUGHT_KNOWN 65536u /* blocks, likewise */

struct sought_page {
    uintptr_t page;
    uint64_t bits[4]; /* as white ones */
};

struct sought {
    struct sought_page *pages; /* kept from cycle to cycle, as all of this */
    uintptr_t *known;          /* blocks unreachable at the end of the last cycle, ascending */
    unsigned page_count, known_count;
    bool many; /* more pages than there is room for */
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
/* At the end of a cycle: what is white is known in the next. */
void sought_keep(struct sought *sought, const struct heap_index *index);

#endif
