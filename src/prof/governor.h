/* What samples may cost, and how close together they may then be: arithmetic on numbers that it is
 * given, so that it can be run on simulated programs. */
#ifndef PROF_GOVERNOR_H
#define PROF_GOVERNOR_H

#include <stdint.h>

/* One step changes the fineness by at most these factors.  Down is faster: what a burst of
 * allocations costs before the first step is all that it costs too much. */
#define GOVERNOR_UP 2.0
#define GOVERNOR_DOWN 16.0
/* The first of all measurements counts for no more than this: it brings in code and tables. */
#define GOVERNOR_FIRST_NS 5000

/* No budget. */
#define GOVERNOR_FREE UINT64_MAX

struct governor_step {
    uint64_t used_ns, elapsed_ns; /* CPU time of samples, and wall time, since the last step */
    uint64_t budget_ppm;          /* millionths of a CPU, not 0; GOVERNOR_FREE: as fine as may be */
    double coarsest, finest;      /* bounds of the fineness, 0 < coarsest <= finest */
};

/* The next fineness: samples per byte, in units of what memprofilerate says (1: as it says; 4: four
 * times as many; 0.5: half).  Cost goes with the number of samples, so the fineness goes by what
 * the last step left of the budget. */
double governor_next(double fineness, const struct governor_step *step);

/* The mean cost of a sample, in 1/16 ns, after one more that took `ns` of wall time; 0: there is
 * none before.  One in sixteen counts.  A thread that lost its CPU meanwhile counts as a slow one,
 * no more. */
uint64_t governor_mean(uint64_t mean, uint64_t ns);

#endif
