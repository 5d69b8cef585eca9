/* The law of samples where only the allocation in which a gap ends can be looked at, and those that
 * follow one: by simulated programs, against 1 - exp(-toll / mean). */
#include "base/rng.h"
#include "prof/points.h"
#include "tap.h"

#include <math.h>
#include <stdbool.h>

/* One kind of allocation of a program. */
struct kind {
    size_t size;
    uint64_t toll;
    uint64_t count, sampled;
    double clusters; /* sum over points of the square of how many samples one has led to */
    uint64_t of_this_point;
};

/* Allocates as jemalloc does: looked at where the wait is over. */
static void allocate(struct points *points, struct rng *rng, uint64_t *at, uint64_t *wait,
                     struct kind *kind, uint64_t mean, uint64_t window)
{
    bool looked_at = kind->size >= *wait;
    kind->count++;
    if (looked_at && points_hit(points, *at, kind->size, kind->toll)) {
        kind->sampled++;
        kind->of_this_point++;
    }
    *at += kind->size;
    if (!looked_at) {
        *wait -= kind->size;
        return;
    }
    if (*at >= points->next)
        points_pass(points, *at, rng_exponential(rng, mean) - 1, rng_exponential(rng, mean));
    *wait = points_wait(points, *at, window);
}

/* `order` says which of the kinds comes next. */
static void run(const char *what, struct kind *kinds, unsigned count, uint64_t mean,
                unsigned (*order)(struct rng *rng, uint64_t turn))
{
    struct rng rng;
    struct points points = {0};
    uint64_t at = 0, window = 0, wait = 1, before = 0;
    rng_seed(&rng, 7);
    for (unsigned i = 0; i < count; i++)
        if (kinds[i].toll - kinds[i].size > window)
            window = kinds[i].toll - kinds[i].size;
    points.next = rng_exponential(&rng, mean);
    wait = points_wait(&points, 0, window);
    for (uint64_t turn = 0; turn < 4000000; turn++) {
        allocate(&points, &rng, &at, &wait, &kinds[order(&rng, turn)], mean, window);
        if (points.next != before)
            for (unsigned i = 0; i < count; i++) {
                kinds[i].clusters += (double)(kinds[i].of_this_point * kinds[i].of_this_point);
                kinds[i].of_this_point = 0;
            }
        before = points.next;
    }
    for (unsigned i = 0; i < count; i++) {
        double p = -expm1(-(double)kinds[i].toll / (double)mean);
        double expected = p * (double)kinds[i].count, error = sqrt(kinds[i].clusters + 1);
        double off = ((double)kinds[i].sampled - expected) / error;
        ok(kinds[i].count == 0 || fabs(off) < 5,
           "%s: %zu bytes with a toll of %llu, one in %llu: %llu samples of %llu, %+.1f standard "
           "errors",
           what, kinds[i].size, (unsigned long long)kinds[i].toll, (unsigned long long)mean,
           (unsigned long long)kinds[i].sampled, (unsigned long long)kinds[i].count, off);
    }
}

static unsigned at_random(struct rng *rng, uint64_t turn)
{
    (void)turn;
    return (unsigned)(rng_next(rng) >> 60) % 4;
}

/* A great block is always followed by a small one, which a large one before it must not favour. */
static unsigned in_turn(struct rng *rng, uint64_t turn)
{
    (void)rng;
    return turn % 7 == 0 ? 3 : turn % 7 == 1 ? 0 : 1 + turn % 2;
}

int main(void)
{
    struct kind even[] = {{16, 16}, {32, 32}, {512, 512}, {4096, 4096}};
    run("as all", even, 4, 100000, at_random);
    struct kind wanted[] = {{16, 16}, {32, 3200}, {512, 512}, {4096, 4096}};
    run("one size wants more", wanted, 4, 100000, at_random);
    struct kind two[] = {{16, 4000}, {32, 32}, {512, 60000}, {4096, 4096}};
    run("two sizes do", two, 4, 300000, at_random);
    struct kind behind[] = {{16, 1600}, {32, 32}, {512, 512}, {65536, 65536}};
    run("behind a great one", behind, 4, 100000, in_turn);
    struct kind dense[] = {{16, 160}, {32, 320}, {512, 512}, {1 << 20, 1 << 20}};
    run("several gaps in one allocation", dense, 4, 1000, in_turn);

    struct points points = {.next = 100};
    is(points_wait(&points, 0, 1000), 100, "before the first point there is no window");
    ok(!points_hit(&points, 0, 99, 5000) && points_hit(&points, 0, 100, 100), "only the point");
    points_pass(&points, 400, 1000, 50);
    ok(points.last == 100 && points.next == 450, "no further back than the point that was next");
    is(points_wait(&points, 400, 301), 1, "inside the window each allocation is looked at");
    is(points_wait(&points, 400, 300), 50, "behind it, none before the next point");
    return tap_done();
}
