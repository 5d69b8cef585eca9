/* One of the tasks that mark together, as mark.c and mark_team.c share it.  Everything in it is its
 * own; what markers share are the index's bits, mark.page_state and the team. */
#ifndef GC_MARKER_H
#define GC_MARKER_H

#include "gc/mark.h"

#define MARK_AHEAD 4u /* pages taken from the queue and being fetched */
/* Words that may come of one page: 256 blocks of 16 bytes, or one of the largest small class that
 * starts there behind other ones, or a chunk. */
#define MARK_EDGES (2 * 4096 / 8 + 2 * MARK_CHUNK / 8)

struct mark_range {
    uintptr_t start, end;
};

/* The clocks as team_pace left them, and as it found them; 0: not yet. */
struct mark_pace {
    int64_t wall_ns, cpu_ns;
    int64_t looked_ns, program_ns;
};

struct marker {
    struct mark *mark;
    uintptr_t *pages; /* ring */
    size_t page_mask, head, tail;
    struct mark_range *ranges; /* large blocks to look at: stack */
    size_t range_count, range_limit;
    uintptr_t ahead[MARK_AHEAD];
    unsigned ahead_at;
    int locality;  /* 0 to 256: how often most of a page's blocks were reached from the page itself
                    */
    unsigned work; /* since the clocks were looked at */
    unsigned number; /* in the team; 0: the caller's */
    bool wide;       /* AVX2 */
    bool alone;      /* no other marker runs */
    bool left;       /* has given up its CPU; its queue is for marker 0 to take over */
    int64_t wall_ns, cpu_ns;
    struct mark_pace pace;
    _Alignas(32) uint64_t lo4[4], span4[4]; /* of the index, for AVX2 */
    uintptr_t edges[MARK_EDGES + 4];
};

struct marker *marker_new(struct mark *mark);
void marker_free(struct marker *marker);

/* Looks at pages and ranges until there are none.  False: there may be some left, but something
 * else is to be done first (marker_leave says what). */
bool marker_drain(struct marker *marker);
/* Puts a page, or a range, where drain finds it. */
void marker_push_page(struct marker *marker, uintptr_t page);
void marker_push_range(struct marker *marker, uintptr_t start, uintptr_t end);
/* Puts back what is being fetched. */
void marker_settle(struct marker *marker);

static inline size_t marker_backlog(const struct marker *marker)
{
    return marker->tail - marker->head + marker->range_count;
}

#endif
