/* A counter's growth per second.  The writer publishes it now and then, at `publish_ns`: between
 * two publications it does not stand still, it is only not known. */
#ifndef MEMTOP_RATE_H
#define MEMTOP_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct rate {
    int64_t time_ns, publish_ns;
    uint64_t counter;
    bool started;
    double span_seconds; /* that `value` is over */
    double value;        /* NAN not known */
};

/* A look at the counter, in which `unpublished` may be missing.  The value is over the time between
 * two looks that saw something published, and stays for as long again (a second at least); then it
 * is at most what can have come unpublished since, *bound, or NAN where that is (`unpublished`
 * NAN).  NAN too at first, and when the counter went back (another process behind the same name).
 */
double rate_update(struct rate *rate, int64_t time_ns, int64_t publish_ns, uint64_t counter,
                   double unpublished, bool *bound);

#endif
