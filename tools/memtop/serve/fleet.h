/* The processes that serve knows: those on memdebug that live and can be read.  Their segments stay
 * mapped between requests, so that a scrape of a thousand costs one look at each and not the search
 * for them.
 *
 * They are looked for when somebody asks and the last search is a second old, or twenty times as
 * long as it took: a serve that nobody asks does nothing.  Who asks does not wait for that search,
 * but for the first one, and for one that a pid needs which is not known.  Nothing is asked of the
 * processes.  Any thread. */
#ifndef MEMTOP_FLEET_H
#define MEMTOP_FLEET_H

#include "target/discover.h"
#include "view/rss.h"

#include <stdio.h>

/* Pauses in seconds, cumulative from the first cycle that was seen on. */
#define PAUSE_BOUNDS                                                                               \
    {                                                                                              \
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1             \
    }
#define PAUSE_BOUNDS_COUNT 12
struct pauses {
    uint64_t below[PAUSE_BOUNDS_COUNT]; /* how many lasted no longer than that */
    uint64_t count;
    double sum_seconds;
};

/* What was read of one process at one moment. */
struct reading {
    pid_t pid;
    char name[32];
    struct md_header header;
    uint64_t rss_bytes; /* 0: not known */
    long threads;       /* 0: not known */
    struct pauses pauses;
    struct md_cycle last;   /* the last cycle done; number 0: none was seen */
    struct rss_parts parts; /* taken_ns 0: not known yet */
};

struct fleet;

/* Raises the process's limit of descriptors as far as it may be.  NULL: no memory. */
struct fleet *fleet_open(void);
void fleet_close(struct fleet *fleet); /* accepts NULL; when nobody uses it */

/* Without `all` those of our own user alone.  A process that lives with this pid: 0; ENOENT: there
 * is none; EACCES: it is another user's. */
int fleet_find(struct fleet *fleet, pid_t pid, bool all, struct target *target);
/* Those that have this name; NULL: each.  They are in *targets, by pid, for the caller to free; how
 * many. */
size_t fleet_list(struct fleet *fleet, const char *name, bool all, struct target **targets);
/* Reads the counters of each, `pid` 0, or of one.  In *readings, by pid, for the caller to free;
 * how many. */
size_t fleet_read(struct fleet *fleet, pid_t pid, bool all, struct reading **readings);
/* Of those of all users the next behind `pid`, in the order of pids, whose resident memory has not
 * been looked into since `since_ns`.  False: there is none behind. */
bool fleet_next(struct fleet *fleet, pid_t pid, int64_t since_ns, struct target *target);
/* Keeps what its resident memory is made of, if it is still known. */
void fleet_set_parts(struct fleet *fleet, const struct target *target,
                     const struct rss_parts *parts);

#endif
