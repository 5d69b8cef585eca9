/* The generator and the variates, against libm and the distributions that they claim.  Seeds are
 * fixed; bounds are five standard deviations, so a failure is a change of the numbers. */
#include "base/rng.h"
#include "tap.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define DRAWS 2000000

static void test_next(void)
{
    /* splitmix64 as its authors publish it, from seed 1234567. */
    static const uint64_t known[] = {6457827717110365317u, 3203168211198807973u,
                                     9817491932198370423u, 4593380528125082431u,
                                     16408922859458223821u};
    struct rng rng, again;
    rng_seed(&rng, 1234567);
    unsigned same = 0;
    for (unsigned i = 0; i < 5; i++)
        same += rng_next(&rng) == known[i];
    is(same, 5, "the first five numbers of splitmix64");
    rng_seed(&rng, 0);
    rng_seed(&again, 0);
    ok(rng_next(&rng) == rng_next(&again), "a seed repeats");
    ok(rng_next(&rng) != 0 && rng_next(&rng) != rng_next(&rng), "seed 0 will do");

    unsigned ones[64] = {0}, repeats[64] = {0}, unfair = 0;
    uint64_t last = rng_next(&rng);
    for (int i = 0; i < 100000; i++) {
        uint64_t n = rng_next(&rng);
        for (unsigned b = 0; b < 64; b++) {
            ones[b] += n >> b & 1;
            repeats[b] += ~(n ^ last) >> b & 1;
        }
        last = n;
    }
    for (unsigned b = 0; b < 64; b++) /* sd of 100000 fair throws: 158 */
        unfair += abs((int)ones[b] - 50000) > 790 || abs((int)repeats[b] - 50000) > 790;
    is(unfair, 0, "each bit is as often 1 as 0, and changes as often as not");
}

static double uniform(struct rng *rng)
{
    return (double)(rng_next(rng) >> 11) * 0x1p-53;
}

static void test_log(void)
{
    struct rng rng = {5};
    double worst = 0, at = 0;
    for (int i = 0; i < DRAWS; i++) {
        uint64_t bits = rng_next(&rng) & INT64_MAX;
        double x;
        memcpy(&x, &bits, sizeof x);
        if (i % 4 == 0)
            x = 1 + (uniform(&rng) - 0.5) / (double)(UINT64_C(1) << i % 40);
        if (i % 4 == 1)
            x = uniform(&rng);
        if (!isfinite(x) || x <= 0)
            continue;
        double exact = log(x), error = fabs(rng_log(x) - exact) / fmax(1, fabs(exact));
        if (!(error <= worst))
            worst = error, at = x;
    }
    ok(worst <= 1e-9, "log to 1e-9 of libm's: %g at %g", worst, at);
    static const double edges[] = {
        1,           2,       0.5,       DBL_MIN,         DBL_MAX,        DBL_TRUE_MIN,
        DBL_MIN / 3, M_SQRT2, M_SQRT1_2, 1 - DBL_EPSILON, 1 + DBL_EPSILON};
    unsigned wrong = 0;
    for (unsigned i = 0; i < sizeof edges / sizeof edges[0]; i++)
        if (!(fabs(rng_log(edges[i]) - log(edges[i])) <= 1e-9 * fmax(1, fabs(log(edges[i]))))) {
            tap_print("# log(%g) is %.12g, got %.12g", edges[i], log(edges[i]), rng_log(edges[i]));
            wrong++;
        }
    is(wrong, 0, "log at the edges, the smallest numbers too");
    ok(rng_log(1) == 0, "log 1 is 0");
}

static void test_one_minus_exp(void)
{
    struct rng rng = {6};
    double worst = 0, at = 0;
    for (int i = 0; i < DRAWS; i++) {
        double x = i % 2 ? 45 * uniform(&rng) : exp(-700 * uniform(&rng));
        /* Relative: weights are its inverse, and most objects are small against the rate. */
        double exact = -expm1(-x), error = fabs(rng_one_minus_exp(x) - exact) / exact;
        if (!(error <= worst))
            worst = error, at = x;
    }
    ok(worst <= 1e-9, "1 - exp(-x) to 1e-9 of libm's: %g at %g", worst, at);
    ok(rng_one_minus_exp(0) == 0, "0 at 0");
    ok(rng_one_minus_exp(1e300) == 1 && rng_one_minus_exp(INFINITY) == 1, "1 far out");
    ok(fabs(rng_one_minus_exp(0.5) + expm1(-0.5)) < 1e-9 &&
           fabs(rng_one_minus_exp(nextafter(0.5, 0)) + expm1(-0.5)) < 1e-9 &&
           fabs(rng_one_minus_exp(40) - 1) < 1e-9 && fabs(rng_one_minus_exp(40.1) - 1) < 1e-9,
       "and where its pieces meet");
}

/* An exponential variate rounded up is geometric: P(X > k) = exp(-k / mean). */
static void test_exponential(uint64_t mean)
{
    static const double tails[] = {0.001, 0.01, 0.1, 0.5, 1, 2, 3, 5, 8, 10};
    enum { TAILS = sizeof tails / sizeof tails[0] };
    struct rng rng = {mean};
    unsigned above[TAILS] = {0}, zeros = 0, wrong = 0;
    double sum = 0, squares = 0, q = exp(-1 / (double)mean);
    double expected = 1 / (1 - q), variance = q / (1 - q) / (1 - q);
    for (int i = 0; i < DRAWS; i++) {
        uint64_t gap = rng_exponential(&rng, mean);
        double d = (double)gap - expected;
        sum += d;
        squares += d * d;
        zeros += gap == 0;
        for (unsigned t = 0; t < TAILS; t++)
            above[t] += gap > (uint64_t)(tails[t] * (double)mean);
    }
    unsigned long long m = mean;
    is(zeros, 0, "mean %llu: at least 1", m);
    ok(fabs(sum / DRAWS) < 5 * sqrt(variance / DRAWS), "mean %llu: the mean is off by %g", m,
       sum / DRAWS);
    /* The fourth central moment of an exponential is 9 variances squared. */
    ok(fabs(squares / DRAWS - variance) < 5 * variance * sqrt(8.5 / DRAWS),
       "mean %llu: the variance is %g times what it should be", m, squares / DRAWS / variance);
    for (unsigned t = 0; t < TAILS; t++) {
        double k = (double)(uint64_t)(tails[t] * (double)mean), p = exp(-k / (double)mean);
        double sd = sqrt(DRAWS * p * (1 - p));
        if (fabs(above[t] - DRAWS * p) > 5 * sd + 1e-9) {
            tap_print("# above %g means: %u, expected %g +- %g", tails[t], above[t], DRAWS * p, sd);
            wrong++;
        }
    }
    is(wrong, 0, "mean %llu: the tail falls as it should", m);
}

int main(void)
{
    test_next();
    test_log();
    test_one_minus_exp();
    test_exponential(2);
    test_exponential(100);
    test_exponential(512 << 10);
    test_exponential(UINT64_C(1) << 40);
    struct rng rng = {1};
    unsigned ones = 0, high = 0;
    for (int i = 0; i < 1000; i++) {
        ones += rng_exponential(&rng, 0) == 1 && rng_exponential(&rng, 1) == 1;
        uint64_t gap = rng_exponential(&rng, UINT64_MAX);
        high += gap == 0 || gap > UINT64_C(1) << 62;
    }
    is(ones, 1000, "mean 0 and 1 give 1 each time");
    is(high, 0, "no mean gives a number out of range");
    return tap_done();
}
