/* One of the tasks that mark together, as mark.c, mark_team.c, mark_pace.c and mark_drain.c share
 * it.  Everything in it is its own.  Markers share the bits of the index and mark.page_state, by
 * atomic operations; the team (mark_team.h); and mark.overflowed, which each may set. */
#ifndef GC_MARK_MARKER_H
#define GC_MARK_MARKER_H

#include "gc/mark/mark.h"

#define MARK_AHEAD 4u /* pages taken from the queue and being fetched */
/* Words that may come of one page: 256 blocks of 16 bytes, or one of the largest small class that
 * starts there behind other ones, or a chunk. */
#define MARK_EDGES (2 * 4096 / 8 + 2 * MARK_CHUNK / 8)

struct mark_range {
    uintptr_t start, end;
};

/* The clocks as mark_pace left them, and as it found them; 0: not yet. */
struct mark_pace {
    int64_t wall_ns, cpu_ns;
    int64_t looked_ns, program_ns;
};

/* Work that is asked for and offered in the team, about. */
struct mark_demand {
    uint32_t idle; /* markers that have no work */
    uint32_t full; /* packets of it */
};

struct marker {
    struct mark *mark;
    const struct mark_code *code;
    const struct mark_demand *demand; /* of the team; not read while it is alone */
    uintptr_t *pages;                 /* ring */
    size_t page_mask, head, tail;
    struct mark_range *ranges; /* large blocks to look at: stack */
    size_t range_count, range_limit;
    uintptr_t ahead[MARK_AHEAD];
    unsigned ahead_at;
    int locality;    /* 0 to 256: how often most blocks of a page were reached from that page */
    unsigned work;   /* since the clocks were looked at */
    unsigned number; /* in the team; 0: the caller's */
    bool alone;      /* no other marker runs; changes only while none does */
    bool left;       /* has given up its CPU; its queue is marker 0's from then on (atomic) */
    int64_t wall_ns, cpu_ns;
    struct mark_pace pace;
    uintptr_t edges[MARK_EDGES + 4];
};

/* Why a marker stops. */
enum marker_need {
    MARKER_DONE,  /* it has nothing left */
    MARKER_CLOCK, /* it has worked for a while: clocks may be looked at */
    MARKER_GIVE   /* somebody in the team has no work, and none is offered */
};

/* Where a mark spends its time (mark_drain.c), built for any CPU of the machine, and where that is
 * worth while once more for those with wide vectors. */
struct mark_code {
    /* marker_drain, for the only marker and for one of several. */
    enum marker_need (*drain_alone)(struct marker *marker);
    enum marker_need (*drain_shared)(struct marker *marker);
    /* Follows every word of [start, end). */
    void (*look_at_words)(struct marker *marker, uintptr_t start, uintptr_t end);
    /* Whether no word of [start, end), whole words, lies in [lo, lo + span). */
    bool (*none_between)(uintptr_t lo, uintptr_t span, uintptr_t start, uintptr_t end);
};
extern const struct mark_code mark_code_wide, mark_code_any;
/* The best for the CPU that this runs on; each machine's own. */
const struct mark_code *mark_code_of_cpu(void);

/* Memory of ours, untouched and not counted before it is written to.  NULL: none. */
void *mark_map_table(size_t size);
void mark_unmap_table(void *table, size_t size);

struct marker *marker_new(struct mark *mark);
void marker_free(struct marker *marker);

/* Looks at pages and ranges until there are none, or something else is to be done first. */
enum marker_need marker_drain(struct marker *marker);
/* Puts a page, or a range, where drain finds it. */
static inline void marker_push_page(struct marker *marker, uintptr_t page)
{
    marker->pages[marker->tail++ & marker->page_mask] = page;
}
void marker_push_range(struct marker *marker, uintptr_t start, uintptr_t end);
/* Puts back what is being fetched. */
void marker_settle(struct marker *marker);

static inline size_t marker_backlog(const struct marker *marker)
{
    return marker->tail - marker->head + marker->range_count;
}

#endif
