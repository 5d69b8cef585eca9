/* A counter's growth per second.  The writer publishes the counter now and then: between two
 * publications it grows, but is not known. */
#ifndef MEMTOP_RATE_H
#define MEMTOP_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct rate {
    int64_t time_ns, publish_ns; /* of the last look that saw something new published */
    uint64_t counter;            /* then */
    bool started;
    double span_seconds; /* the time that `value` is over */
    double value;        /* NAN: not known */
};

/* Takes in a look at the counter at `time_ns`, which was last published at `publish_ns`.  Returns
 * the rate between the last two looks that saw something new published.  That stands for as long as
 * the time between those, and a second at least.  After that the rate is known to be at most what
 * can have been counted unpublished since, `unpublished`: the result is then that bound, with
 * *bound set, if it is the smaller one, and NAN if `unpublished` is.  NAN also at first, and when
 * the counter went back (another process has taken its place). */
double rate_update(struct rate *rate, int64_t time_ns, int64_t publish_ns, uint64_t counter,
                   double unpublished, bool *bound);

#endif
