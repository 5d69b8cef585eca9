#include "base/rng.h"

#include <string.h>

void rng_seed(struct rng *rng, uint64_t seed)
{
    rng->state = seed;
}

uint64_t rng_next(struct rng *rng)
{
    uint64_t z = rng->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

#define LN2 0.69314718055994530942

double rng_log(double x)
{
    /* x = m * 2^e with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh((m-1)/(m+1)). */
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int e = (int)(bits >> 52) - 1023;
    bits = (bits & 0x000fffffffffffffu) | 0x3ff0000000000000u;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 1.41421356237309504880) {
        m *= 0.5;
        e++;
    }
    double s = (m - 1) / (m + 1), s2 = s * s;
    double sum = 0;
    for (int k = 15; k >= 1; k -= 2)
        sum = sum * s2 + 1.0 / k;
    return 2 * s * sum + e * LN2;
}

double rng_one_minus_exp(double x)
{
    if (x > 40)
        return 1;
    if (x < 0.5) {
        /* -expm1(-x) by its series, without the cancellation of 1 - exp(-x). */
        double sum = 0;
        for (int k = 14; k >= 1; k--)
            sum = x / k * (1 - sum);
        return sum;
    }
    /* exp(-x) = exp(-x/64)^64, the inner one by its series. */
    double y = -x / 64, sum = 1;
    for (int k = 14; k >= 1; k--)
        sum = 1 + y / k * sum;
    for (int i = 0; i < 6; i++)
        sum *= sum;
    return 1 - sum;
}

uint64_t rng_exponential(struct rng *rng, uint64_t mean)
{
    if (mean <= 1)
        return 1;
    double u = (double)((rng_next(rng) >> 11) + 1) * 0x1p-53; /* (0, 1] */
    double gap = -rng_log(u) * (double)mean;
    return gap >= 0x1p62 ? (uint64_t)1 << 62 : (uint64_t)gap + 1;
}
