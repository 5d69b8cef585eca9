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
    int e = -1023;
    if (x < 0x1p-1022) { /* a number without the leading 1 that is not stored */
        x *= 0x1p54;
        e -= 54;
    }
    memcpy(&bits, &x, sizeof bits);
    e += (int)(bits >> 52);
    bits = (bits & 0x000fffffffffffffu) | 0x3ff0000000000000u;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 1.41421356237309504880) {
        m *= 0.5;
        e++;
    }
    /* The series to s^15, |s| < 0.1716; the constants are 1/15, 1/13 ... 1/3. */
    double s = (m - 1) / (m + 1), q = s * s;
    double sum = 0.066666666666666667;
    sum = sum * q + 0.076923076923076923;
    sum = sum * q + 0.090909090909090909;
    sum = sum * q + 0.11111111111111111;
    sum = sum * q + 0.14285714285714286;
    sum = sum * q + 0.2;
    sum = sum * q + 0.33333333333333333;
    sum = sum * q + 1;
    return 2 * s * sum + e * LN2;
}

double rng_one_minus_exp(double x)
{
    if (x > 40)
        return 1;
    /* exp(-y) by its series for y < 1/2, then squared: 1 - exp(-2y) = u (2 - u) for u = 1 -
     * exp(-y), which loses no digits where u is small. */
    int halvings = 0;
    while (x >= 0.5) {
        x *= 0.5;
        halvings++;
    }
    /* u = y - y^2/2! + y^3/3! ... to y^9; the constants are 1/9! ... 1/2!. */
    double u = 2.7557319223985891e-6;
    u = u * x - 2.4801587301587302e-5;
    u = u * x + 1.9841269841269841e-4;
    u = u * x - 1.3888888888888889e-3;
    u = u * x + 8.3333333333333333e-3;
    u = u * x - 4.1666666666666667e-2;
    u = u * x + 1.6666666666666667e-1;
    u = u * x - 0.5;
    u = (u * x + 1) * x;
    for (; halvings; halvings--)
        u = u * (2 - u);
    return u;
}

uint64_t rng_exponential(struct rng *rng, uint64_t mean)
{
    if (mean <= 1)
        return 1;
    double u = (double)((rng_next(rng) >> 11) + 1) * 0x1p-53; /* (0, 1] */
    double gap = -rng_log(u) * (double)mean;
    return gap >= 0x1p62 ? (uint64_t)1 << 62 : (uint64_t)gap + 1;
}
