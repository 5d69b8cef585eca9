/* How close together samples may be (governor.h), and which losses have no names (unnamed.h), on
 * simulated programs. */
#include "core_test.h"
#include "prof/governor.h"
#include "prof/unnamed.h"
#include "tap.h"

#include <math.h>

#define STEP_NS UINT64_C(100000000)

/* A program that allocates so much a second, a sample of which costs so much. */
struct program {
    double bytes_per_second, rate, sample_ns;
};

/* One step of `ns`: returns the fineness that follows, *used_ppm what it has cost. */
static double step(const struct program *p, double fineness, uint64_t budget_ppm, uint64_t ns,
                   double *used_ppm)
{
    double samples = p->bytes_per_second * (double)ns / 1e9 * fineness / p->rate;
    struct governor_step s = {.used_ns = (uint64_t)(samples * p->sample_ns),
                              .elapsed_ns = ns,
                              .budget_ppm = budget_ppm,
                              .coarsest = 1.0 / 128,
                              .finest = 524288};
    *used_ppm = (double)s.used_ns * 1e6 / (double)ns;
    return governor_next(fineness, &s);
}

static void test_budget(void)
{
    static const uint64_t budgets[] = {100, 5000, 50000};
    static const double traffic[] = {1e6, 2e8, 2e9};
    unsigned wrong = 0, tried = 0;
    for (unsigned b = 0; b < 3; b++)
        for (unsigned t = 0; t < 3; t++) {
            struct program p = {traffic[t], 524288, 1000};
            double fineness = 1, used = 0;
            for (int i = 0; i < 40; i++)
                fineness = step(&p, fineness, budgets[b], STEP_NS, &used);
            double at_finest = traffic[t] * p.sample_ns / 1e9 * 1e6; /* ppm, at a rate of 1 */
            double wanted = fmin((double)budgets[b], at_finest);
            wrong += used > wanted * 1.05 || used < wanted * 0.9;
            tried++;
        }
    is(wrong, 0, "%u programs come to what they may cost, or to every byte", tried);
}

static void test_burst(void)
{
    struct program quiet = {1e6, 524288, 1000}, burst = {1e10, 524288, 1000};
    double fineness = 1, used, cost_ns = 0;
    for (int i = 0; i < 40; i++)
        fineness = step(&quiet, fineness, 5000, STEP_NS, &used);
    ok(fineness > 1000, "a quiet program is looked at closely: %.0f", fineness);
    /* A step comes as soon as twice what a whole one may cost has been spent. */
    unsigned steps = 0;
    for (; steps < 20; steps++) {
        double per_second_ns = burst.bytes_per_second * fineness / burst.rate * burst.sample_ns;
        double ns = fmin((double)STEP_NS, 1e6 / per_second_ns * 1e9);
        fineness = step(&burst, fineness, 5000, (uint64_t)ns, &used);
        cost_ns += used / 1e6 * ns;
        if (used < 5500)
            break;
    }
    ok(steps < 8 && cost_ns < 8e6, "a burst costs %.1f ms in %u steps", cost_ns / 1e6, steps);
}

static void test_bounds(void)
{
    struct governor_step s = {0, STEP_NS, GOVERNOR_FREE, 0.25, 64};
    ok(governor_next(1, &s) == 64, "without a budget as fine as may be");
    s.budget_ppm = 5000;
    ok(governor_next(1, &s) == 2, "with one, and nothing spent, twice as fine");
    ok(governor_next(50, &s) == 64, "no finer than may be");
    s.used_ns = STEP_NS * 100;
    ok(governor_next(64, &s) == 4, "a sixteenth at once, at most");
    ok(governor_next(1, &s) == 0.25, "no coarser than may be");
    s.used_ns = STEP_NS * 5000 / 1000000;
    ok(governor_next(8, &s) == 8, "what costs what it may stays");
    s.elapsed_ns = 0;
    s.used_ns = 0;
    ok(governor_next(8, &s) == 16, "no time at all is no reason to stop");
}

static void test_mean(void)
{
    uint64_t mean = governor_mean(0, 80000);
    is(mean, GOVERNOR_FIRST_NS * 16, "the first measurement is bounded");
    ok(governor_mean(0, 0) > 0, "and not none");
    for (int i = 0; i < 200; i++)
        mean = governor_mean(mean, 900);
    ok(mean / 16 >= 890 && mean / 16 <= 910, "comes to what there is: %u ns", (unsigned)mean / 16);
    for (int i = 0; i < 200; i++)
        mean = governor_mean(mean, 3000);
    ok(mean / 16 >= 2950 && mean / 16 <= 3010, "and to more: %u", (unsigned)mean / 16);
    for (int i = 0; i < 4000; i++)
        mean = governor_mean(mean, i % 1000 == 999 ? 4000000 : 900);
    ok(mean / 16 < 1800, "the CPU lost for 4 ms counts as one slow sample: %u",
       (unsigned)mean / 16);
    for (int i = 0; i < 200; i++)
        mean = governor_mean(mean, 0);
    ok(mean > 0, "never none");
}

static void test_leak_that_goes_on(void)
{
    struct unnamed c = {0};
    unsigned wanted_at = 0, done_at = 0, wanted = 0;
    ok(!unnamed_cycle(&c, 0, 0), "nothing is lost, nothing wanted");
    /* 80 objects a cycle; no sample but while they are wanted, then one in each. */
    uint64_t samples = 0;
    for (unsigned i = 1; i <= 1000; i++) {
        bool wants = unnamed_cycle(&c, 80 * i, samples);
        if (wants && !wanted_at)
            wanted_at = i;
        if (!wants && wanted_at && !done_at)
            done_at = i;
        wanted += wants;
        samples += wants;
    }
    is(wanted_at, 2, "a loss that grows wants samples");
    is(done_at, wanted_at + UNNAMED_SAMPLES, "until it has some");
    ok(wanted <= 10 * UNNAMED_SAMPLES, "and again as it doubles: %u of 1000 cycles", wanted);
}

static void test_loss_at_start(void)
{
    struct unnamed c = {0};
    unsigned wanted = 0;
    for (unsigned i = 0; i < 100; i++)
        wanted += unnamed_cycle(&c, 500, 0);
    is(wanted, 0, "what was lost once wants nothing");
    wanted = unnamed_cycle(&c, 2000, 0);
    for (unsigned i = 0; i < 100; i++)
        wanted += unnamed_cycle(&c, 2000, 0);
    ok(wanted > 0 && wanted <= UNNAMED_CYCLES, "lost twice, %u cycles", wanted);
    /* Another leak, of a hundred a cycle. */
    unsigned at = 0;
    for (unsigned i = 1; i <= 100 && !at; i++)
        at = unnamed_cycle(&c, 2000 + 100 * i, 0) ? i : 0;
    ok(at && at <= 25, "one that begins later is asked about when there is as much again: %u", at);
}

static void test_named_by_itself(void)
{
    struct unnamed c = {0};
    unsigned wanted = 0;
    for (unsigned i = 1; i <= 100; i++)
        wanted += unnamed_cycle(&c, 100000 * (uint64_t)i, 20 * i);
    is(wanted, 0, "a leak with samples enough wants none");
    unnamed_cycle(&c, 10, 0);
    ok(!c.wants && c.settled <= 10 && c.samples == 0, "what came back counts no longer");
}

int main(void)
{
    test_budget();
    test_burst();
    test_bounds();
    test_mean();
    test_leak_that_goes_on();
    test_loss_at_start();
    test_named_by_itself();
    return tap_done();
}
