/* Random numbers for sampling: a small generator per thread and the exponential variate.  Pure
 * arithmetic on the caller's state; seedable, so that tests repeat. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

struct rng {
    uint64_t state;
};

/* Any seed will do, 0 too. */
void rng_seed(struct rng *rng, uint64_t seed);
/* 64 uniform bits (splitmix64, Steele, Lea and Flood, OOPSLA 2014). */
uint64_t rng_next(struct rng *rng);
/* An exponential variate with this mean, rounded up: at least 1.  Mean 0 or 1 gives 1, so that a
 * rate of 1 means every allocation. */
uint64_t rng_exponential(struct rng *rng, uint64_t mean);

/* log(x) for finite x > 0, to 1e-9 relative to max(1, |log x|); libm is not linked. */
double rng_log(double x);
/* 1 - exp(-x) for x >= 0, to 1e-9. */
double rng_one_minus_exp(double x);

#endif
