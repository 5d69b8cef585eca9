/* Where samples are taken if only allocations in which a gap ends can be looked at, and those that
 * follow one (the plain variant, where jemalloc counts down): arithmetic on numbers that it is
 * given, of one thread.
 *
 * The gaps' ends are points on the axis of all bytes that the thread has allocated: a Poisson
 * process, of one in g bytes.  An allocation of S bytes that wants a toll T >= S is a sample if a
 * point lies in the last T of the bytes up to its end: with probability 1 - exp(-T/g), as one that
 * takes T off a gap.  So after a point the allocations that begin within so many bytes as the
 * greatest toll is more than its allocation, the window, are looked at too.  Whether two neighbours
 * are samples is then no longer independent; sums stay unbiased.
 *
 * A toll that grows does not open a window again that is over: what would lie in the rest of it is
 * not looked at, once for each such step, in a thread that is just then behind a point. */
#ifndef PROF_POINTS_H
#define PROF_POINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In bytes that the thread has allocated.  Zeroed at first. */
struct points {
    uint64_t next, last;
    bool any; /* `last` is one */
};

/* All up to `at` are behind: `back` and `gap` are the distances to the last of them, were there no
 * bound, and from `at` to the next, exponential variates of at least 0 and 1 of the mean g.  The
 * last one is no further back than the one that was next. */
void points_pass(struct points *points, uint64_t at, uint64_t back, uint64_t gap);
/* So many bytes may be allocated from `at`, at which no point is due, before an allocation must be
 * looked at: at least 1. */
uint64_t points_wait(const struct points *points, uint64_t at, uint64_t window);
/* Whether the allocation of `size` bytes that begins at `at` is a sample. */
bool points_hit(const struct points *points, uint64_t at, size_t size, uint64_t toll);

#endif
