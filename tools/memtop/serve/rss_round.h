/* What resident memory is made of, of all processes of a fleet in turn: the kernel takes longer for
 * it than for all else, and holds a process's mmap lock meanwhile.  A thread goes round as long as
 * somebody wants the figures, asks each process what its allocator has, waits for that 0.2 s at
 * most, and takes 1 % of a CPU in all; of each process it looks at most each 5 s.  So figures of
 * many processes are old: they say how old. */
#ifndef MEMTOP_RSS_ROUND_H
#define MEMTOP_RSS_ROUND_H

#include "fleet.h"

struct rss_round;

struct rss_round *rss_round_create(struct fleet *fleet); /* NULL: no memory */
/* Waits for the look under way.  Accepts NULL. */
void rss_round_destroy(struct rss_round *round);
/* Somebody wants the figures, for 5 minutes.  Any thread. */
void rss_round_want(struct rss_round *round);

#endif
