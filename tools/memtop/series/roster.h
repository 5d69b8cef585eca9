/* The roster: who is on memdebug on this machine, and the figures of each, over time.
 *
 * It is made for a thousand processes looked at each second.  A segment is opened once and stays
 * mapped; a tick reads its counters by plain loads.  New and removed segments are told by inotify
 * on the directories where segments are kept, deaths by pidfds.  What /proc has to say is asked
 * each tick for the members that are on the screen, for the others in turn, so that it costs the
 * same whatever their number.  A search of all of /proc, which alone finds what lies elsewhere
 * (other containers' directories, memory files), is done at first and then so seldom that it takes
 * ROSTER_SEARCH_SHARE of the time.
 *
 * Nothing is asked of the processes.  Memory: malloc.  One thread. */
#ifndef MEMTOP_ROSTER_H
#define MEMTOP_ROSTER_H

#include "target/discover.h"
#include "view/snapshot.h"

/* A member's figures; NAN: not known. */
enum figure {
    FIGURE_UP,     /* seconds */
    FIGURE_HEAP,   /* bytes in use */
    FIGURE_GROWTH, /* bytes that it has grown by in a minute; known after ROSTER_GROWTH_SECONDS */
    FIGURE_LEAKED, /* bytes, by the last cycle that told */
    FIGURE_ALLOC,  /* bytes allocated a second */
    FIGURE_RSS,    /* bytes */
    FIGURE_PAUSE,  /* ns, of the last cycle */
    FIGURE_THREADS,
    FIGURE_COUNT
};

#define ROSTER_SEARCH_SHARE 500 /* a search is this many times as long ago as it took, at least */
#define ROSTER_GROWTH_SECONDS 10
#define ROSTER_POINTS 64 /* of the heap: two minutes */
#define ROSTER_POINT_NS INT64_C(2000000000)

struct member {
    struct target target; /* its header is as of the opening, but for `counters` */
    struct segment_file file;
    int pidfd;    /* -1: none */
    pid_t parent; /* 0: not known */
    char user[16];
    double figure[FIGURE_COUNT];
    /* The heap's points: a ring, the newest at (point_next - 1) % ROSTER_POINTS. */
    struct {
        int64_t time_ns;
        double heap_bytes;
    } point[ROSTER_POINTS];
    size_t point_next, point_count;
    bool on_screen; /* whoever shows it sets this */
    /* The roster's own. */
    uint64_t cycles, cycles_read, last_alloc_bytes;
    int64_t last_alloc_ns, looked_ns;
    bool kept;
};

struct roster {
    struct member **members; /* in no order */
    size_t count;
    char lacks[TARGETS_LACKS][TARGETS_LACK_SIZE]; /* what the list may lack, see targets_lacks */
    size_t lack_count;
    size_t passed_over; /* likewise */
    struct roster_watch *watch;
};

/* Searches, and takes the first figures.  False: no memory. */
bool roster_open(struct roster *roster);
void roster_close(struct roster *roster);
/* Looks again: takes in who came and went, and new figures.  Pointers to members that are gone are
 * no longer valid. */
void roster_tick(struct roster *roster);

/* The member's heap at `count` times of the last `span_ns`, oldest first; pure. */
void member_past(const struct member *member, int64_t now_ns, int64_t span_ns, double *out,
                 size_t count);
/* FIGURE_GROWTH at a time; pure. */
double member_growth(const struct member *member, int64_t now_ns);

#endif
