/* Marking: from words that may be pointers to everything that can be reached through blocks of the
 * heap.  Conservative: a word that points at or into a block keeps it.
 *
 * The unit of work is a page, not a block.  A block reached clears its white bit and sets its grey
 * one, in the same cache line, and its page waits in a queue, once, however many blocks of it are
 * grey by the time its turn comes: then all of them are looked into, one after the other, their
 * lines fetched ahead; the words found there that may be pointers are followed a few places behind
 * the fetch of what the index says of their targets.  So a mark is neither one cache miss after the
 * other, nor does it come back to a page for each of its blocks (random order: 2.5 times faster
 * than the same with a stack of edges; tree order: 1.5 times).
 *
 * What waits is in the bits; the queue only says where.  It cannot overflow, as a page is in it
 * once.  Large blocks are looked at in pieces, from a stack of their own; if that is full, what was
 * dropped is found again by looking at all reached blocks: slower, never wrong.
 *
 * Several markers (mark_team.h) share the bits; each has its queue.  mark_from and mark_reach are
 * for the one that called mark_init. */
#ifndef GC_MARK_MARK_H
#define GC_MARK_MARK_H

#include "gc/mark/heap_index.h"

#include <stdbool.h>
#include <stdint.h>

#define MARK_CHUNK 16384
/* Blocks from this size on may be sparse: only pages with contents are looked at. */
#define MARK_SPARSE_BYTES ((size_t)256 << 10)
#define MARK_MAX 8u /* markers */

enum page_state {
    PAGE_QUEUED = 1, /* it waits in some marker's queue */
    PAGE_REACHED     /* nothing on it is unreached (mark_note_reached) */
};

struct marker;
struct mark_code;
struct team;

/* Is told of words and blocks instead of a marker: of a mark that has `index` and this alone. */
struct mark_visit {
    void (*words)(struct mark_visit *visit, uintptr_t start, uintptr_t end); /* mark_from */
    bool (*reached)(struct mark_visit *visit, uintptr_t block);              /* mark_reach */
};

struct mark {
    struct heap_index *index;
    struct mark_visit *visit;     /* NULL: blocks are marked */
    uint8_t *page_state;          /* for each page 0 or enum page_state; shared, as marker.h says */
    const struct mark_code *code; /* of this CPU (marker.h) */
    struct marker *marker;        /* of the caller */
    struct team *team;            /* the others; NULL: none yet */
    const uintptr_t *doubted; /* blocks that may be free: nobody is told of them (unreached.h) */
    size_t doubted_count;
    struct mark_check *check; /* the simple marker beside this one (mark_check.h); NULL: none */
    size_t page_limit, range_limit;
    unsigned helpers;      /* at most; set it to 0 to mark alone */
    unsigned markers;      /* tasks that have marked, the caller's included */
    int64_t patience_ns;   /* a helper that has waited longer for its CPU gives it up */
    bool eager;            /* for tests: helpers at once, whether CPUs are idle or not */
    const uint32_t *hurry; /* not 0: the program waits for the mark; NULL: never */
    bool noted;            /* there are pages with PAGE_REACHED */
    bool overflowed;       /* something was dropped; set by any marker (atomic) */
    unsigned again;        /* times that all blocks reached were looked at again for it */
    int64_t helper_cpu_ns;
    int64_t paced_since_ns; /* of mark_pace; 0: not yet */
};

/* `range_limit` large blocks that wait at most.  False: no memory. */
bool mark_init(struct mark *mark, struct heap_index *index, size_t range_limit);
/* Follows every word of [start, end), 8-byte aligned inwards.  What they lead to is reached, but
 * what lies behind that only when mark_finish has returned. */
void mark_from(struct mark *mark, uintptr_t start, uintptr_t end);
/* Whether no word of [start, end), whole words, lies in [lo, lo + span).  False where not all can
 * be read. */
bool mark_none_between(const struct mark *mark, uintptr_t lo, uintptr_t span, uintptr_t start,
                       uintptr_t end);
/* Takes a block for reached without looking into it; false if it was already. */
bool mark_reach(struct mark *mark, uintptr_t block);
/* Reaches all that is reachable.  Starts helpers if that takes long and CPUs are idle.  It ends: a
 * block is looked into once for each time that its white bit is taken, and none is set meanwhile;
 * what was dropped is looked for again only if a block was reached since, or a helper was killed.
 * More of mark_from may follow, and another one. */
void mark_finish(struct mark *mark);
/* Between mark_finish and another mark_from: notes the pages on which nothing is unreached.  Words
 * that point there are dropped from then on by a look at a byte a page, which the cache holds,
 * instead of the index, which it does not.  Costs one pass over the index. */
void mark_note_reached(struct mark *mark);
/* Gives its memory back: only where the process goes on, not in the child.  False: nothing has
 * been, and the index must stay too, as a helper may still run (its marker was killed, and it has
 * not been seen to end). */
bool mark_free(struct mark *mark);
/* In a forked copy, before mark_free: helpers are the parent's. */
void mark_postfork_child(struct mark *mark);

#endif
