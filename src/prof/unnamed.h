/* Of one size class: do its losses have names?  Decided from what each cycle has counted:
 * arithmetic, so that it can be run on simulated leaks.
 *
 * All samples are drawn by the same law wherever the allocation comes from, so a few among the
 * losses of a class name those who lose most of it.  Until there are some, and as long as more is
 * lost, the class wants more samples.  Once there are it has rest until as much again has been lost
 * without enough of them: so who begins to lose later is found too, and a leak that goes on for
 * ever is asked about only so often as it doubles.  What was lost once and no more, as at many a
 * start, can have no name any longer, and is left. */
#ifndef PROF_UNNAMED_H
#define PROF_UNNAMED_H

#include <stdbool.h>
#include <stdint.h>

/* So many samples name the losses of a class. */
#define UNNAMED_SAMPLES 4u
/* After so many cycles without a new loss nothing more is expected. */
#define UNNAMED_CYCLES 12u

/* Zeroed at first. */
struct unnamed {
    uint64_t objects; /* lost, at the last cycle */
    uint64_t fresh;   /* more of them than at the one before */
    uint64_t settled; /* lost, when it last came to rest */
    uint64_t samples; /* of what was lost then */
    uint32_t quiet;   /* cycles since more was lost */
    bool wants;       /* more samples */
};

/* A cycle has found so many leaked objects, so many of them sampled.  Returns `wants`. */
bool unnamed_cycle(struct unnamed *class, uint64_t objects, uint64_t samples);

#endif
