/* Looking again at what the program has written to since it was looked at, for a mark in place.
 *
 * A page of the heap is looked at as the object map has it now: blocks that were allocated when the
 * index was built and that nothing has reached yet are left out (whoever reaches them looks into
 * them), free memory and the allocator's own tables are left out, and everything else is followed:
 * blocks reached, and blocks born since, which live in this cycle.
 *
 * In the task that marks. */
#ifndef GC_DIRTY_REMARK_H
#define GC_DIRTY_REMARK_H

#include "gc/mark/mark.h"
#include "heap/extents.h"

#include <stdint.h>

#define REMARK_AHEAD 8 /* pages being fetched */

struct remark {
    struct mark *mark;
    struct extent extent;  /* at work */
    uintptr_t start, end;  /* gathered, not followed yet */
    uintptr_t searched;    /* the map has been searched up to this page ... */
    uintptr_t start_found; /* ... and this is the last start of a block before it; 0: none */
    uint64_t bytes;        /* of the pages looked at */
    uintptr_t ahead[REMARK_AHEAD]; /* ring; 0: none */
    unsigned at;
};

void remark_begin(struct remark *remark, struct mark *mark);
/* Pages come in ascending order within an extent. */
void remark_extent(struct remark *remark, struct extent extent);
/* The kernel has just armed what follows.  Starts of blocks that were found before are looked for
 * anew: a block may have been born, and filled, between the search and the arming.  `ctx` is the
 * struct remark. */
void remark_armed(void *ctx);
/* A run of pages of the extent, as pagemap.h tells them.  `ctx` is the struct remark. */
void remark_pages(void *ctx, uintptr_t start, uintptr_t end);
/* Follows what is left; everything reachable is reached after mark_finish. */
void remark_end(struct remark *remark);

/* For a run of pages of the object map: blocks that are in the index, unreached, and freed since
 * are unreachable no more; those that have changed their size since are live.  `ctx` is the struct
 * mark.
 */
void remark_map(void *ctx, uintptr_t start, uintptr_t end);

#endif
