/* Markers beside the first: tasks that share its memory (task.h), as many as there are CPUs that
 * nobody wants.  Work goes from one to another only when somebody has none: then the others put
 * some of theirs into one of a few boxes, from which it is taken.  No lock: who is stopped in the
 * middle keeps one box, and nothing else, from the others.
 *
 * A helper runs at the lowest priority, so the program hardly feels it where it wants all CPUs; but
 * then what the helper has begun waits for it.  So helpers are started only while fewer tasks are
 * runnable than there are CPUs, and one that finds that it has waited for its CPU hands back what
 * it has and ends. */
#ifndef GC_MARK_MARK_TEAM_H
#define GC_MARK_MARK_TEAM_H

#include "gc/mark/marker.h"

#include "gc/sys/task.h"

#define TEAM_BOXES 16u
#define TEAM_BOX_ITEMS 32u

enum box_state { BOX_EMPTY, BOX_BUSY, BOX_FULL };

struct team_box {
    uint32_t state, count;
    struct mark_range items[TEAM_BOX_ITEMS]; /* end 0: a page */
};

struct team {
    struct mark *mark;
    uint32_t hungry;  /* markers that have no work */
    uint32_t active;  /* markers that have, or whose work is still to be taken over */
    uint32_t version; /* counts who became active */
    uint32_t posted;  /* futex: counts reasons to look again */
    uint32_t full;    /* boxes, about */
    bool quit;
    unsigned started;
    struct task task[MARK_MOST];
    struct marker *marker[MARK_MOST];
    struct team_box box[TEAM_BOXES];
};

/* Starts helpers if there are idle CPUs.  False: none. */
bool team_start(struct mark *mark);
/* Marker 0, now and then: sleeps where the program runs and it has had its share of that. */
void team_pace(struct marker *marker);
/* Somebody has no work: gives some away if there is enough. */
void team_give(struct marker *marker);
/* For a marker without work.  True: it has some again; false: nobody has any. */
bool team_take(struct marker *marker);
/* Marker 0, at the end: the helpers are gone when it returns. */
void team_end(struct mark *mark);
/* As mark_free. */
bool team_free(struct mark *mark);

#endif
