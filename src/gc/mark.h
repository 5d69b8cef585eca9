/* Marking: from words that may be pointers to everything that can be reached through blocks of the
 * heap.  Conservative: a word that points at or into a block keeps it.
 *
 * A word found in a block or a root is an edge; edges wait on a stack, pass through a short ring
 * while the index entry of their target is fetched, and blocks reached pass through another while
 * their first lines are fetched: without the rings a mark is one cache miss after the other (3.5 to
 * 5 times slower, measured).  Blocks larger than MARK_CHUNK wait on a stack of their own and are
 * looked at in pieces, so that one large array does not fill the edge stack.
 *
 * Runs in the snapshot child or in a task (task.h); one thread.  If the edge stack is full, edges
 * are dropped and found again by looking at all reached blocks: slower, never wrong. */
#ifndef GC_MARK_H
#define GC_MARK_H

#include "gc/heap_index.h"

#include <stdbool.h>
#include <stdint.h>

#define MARK_CHUNK 16384

struct mark_range {
    uintptr_t start, end;
};

struct mark {
    struct heap_index *index;
    uintptr_t *edges; /* stack */
    size_t edge_count, edge_limit;
    struct mark_range *ranges; /* pieces of large blocks to look at: stack */
    size_t range_count, range_limit;
    bool overflowed;
};

/* `edge_limit` entries at most; fewer if memory is refused.  False: none at all. */
bool mark_init(struct mark *mark, struct heap_index *index, size_t edge_limit);
/* Follows every word of [start, end), 8-byte aligned inwards.  Everything reachable from there is
 * reached when it returns, unless the stack overflowed: see mark_finish. */
void mark_from(struct mark *mark, uintptr_t start, uintptr_t end);
/* Takes a block for reached without looking into it; false if it was already. */
bool mark_reach(struct mark *mark, uintptr_t block);
/* Makes up for overflows.  Call after the last mark_from; more may follow, and another one. */
void mark_finish(struct mark *mark);
/* Gives its memory back: only where the process goes on, not in the child. */
void mark_free(struct mark *mark);

#endif
