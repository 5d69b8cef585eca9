/* Markers beside the first: tasks that share its memory (task.h), as many as there are CPUs that
 * nobody wants.  Work goes from one to another only when somebody has none: then the others put
 * some of theirs into one of a few packets, from which it is taken.  No lock: who is stopped in the
 * middle keeps one packet, and nothing else, from the others.
 *
 * A helper beyond what `gccpu` allows runs at the lowest priority, so the program hardly feels it
 * where it wants all CPUs; but then what the helper has begun waits for it.  So helpers are started
 * only while fewer tasks are runnable than there are CPUs, and one that finds that it has waited
 * for its CPU hands back what it has and ends. */
#ifndef GC_MARK_MARK_TEAM_H
#define GC_MARK_MARK_TEAM_H

#include "gc/mark/marker.h"

#include "gc/sys/task.h"

#define TEAM_PACKETS 16u
#define TEAM_PACKET_ITEMS 32u

enum packet_state { PACKET_EMPTY, PACKET_BUSY, PACKET_FULL };

/* Work on its way.  Whoever has made it BUSY, from EMPTY to fill it or from FULL to empty it, has
 * it alone until it sets the next state. */
struct team_packet {
    uint32_t state; /* enum packet_state; atomic */
    uint32_t count;
    struct mark_range items[TEAM_PACKET_ITEMS]; /* end 0: a page */
};

/* What is not atomic is marker 0's alone, but for the packets. */
struct team {
    struct mark *mark;
    struct mark_demand demand; /* atomic */
    uint32_t active;  /* atomic: markers with work, and those that left some to be taken over */
    uint32_t version; /* atomic: counts who became active (all_done) */
    uint32_t posted;  /* futex: counts reasons to look again */
    bool quit;        /* atomic: helpers without work are to end */
    unsigned started;
    struct task task[MARK_MAX];
    struct marker *marker[MARK_MAX];
    struct team_packet packet[TEAM_PACKETS];
};

/* Starts helpers if there are idle CPUs.  False: none. */
bool team_start(struct mark *mark);
/* Marks until this marker has nothing left.  False: it may have, but something else is to be done
 * first: to start helpers, where there are none, or to give up this one's CPU. */
bool team_mark(struct marker *marker);
/* For a marker without work.  True: it has some again; false: nobody has any. */
bool team_take(struct marker *marker);
/* Marker 0, at the end: the helpers are gone when it returns. */
void team_end(struct mark *mark);
/* As mark_free, and as mark_postfork_child. */
bool team_free(struct mark *mark);
void team_postfork_child(struct mark *mark);

#endif
