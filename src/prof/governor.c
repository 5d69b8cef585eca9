#include "prof/governor.h"

#include "base/compiler.h"

#define SHARE 16u   /* of a new measurement in the mean: one in so many */
#define SLOWEST 16u /* times the mean: what a measurement counts for at most */

double governor_next(double fineness, const struct governor_step *step)
{
    double factor = GOVERNOR_UP, next = step->finest;
    if (step->budget_ppm != GOVERNOR_FREE) {
        double used_ppm = (double)step->used_ns * 1e6 / (double)MAX(step->elapsed_ns, 1);
        if (used_ppm * GOVERNOR_UP > (double)step->budget_ppm)
            factor = (double)step->budget_ppm / used_ppm;
        next = fineness * MAX(factor, 1 / GOVERNOR_DOWN);
    }
    return MIN(MAX(next, step->coarsest), step->finest);
}

uint64_t governor_mean(uint64_t mean, uint64_t ns)
{
    if (!mean)
        return MAX(MIN(ns, GOVERNOR_FIRST_NS), 1) * 16;
    uint64_t bounded = MIN(ns, mean / 16 * SLOWEST + 16) * 16;
    int64_t next = (int64_t)mean + ((int64_t)bounded - (int64_t)mean) / (int64_t)SHARE;
    return (uint64_t)MAX(next, 1);
}
