#include "prof/points.h"

void points_pass(struct points *points, uint64_t at, uint64_t back, uint64_t gap)
{
    uint64_t furthest = at - points->next;
    points->last = at - (back < furthest ? back : furthest);
    points->next = at + gap;
    points->any = true;
}

uint64_t points_wait(const struct points *points, uint64_t at, uint64_t window)
{
    return points->any && at - points->last < window ? 1 : points->next - at;
}

bool points_hit(const struct points *points, uint64_t at, size_t size, uint64_t toll)
{
    return (int64_t)(points->next - at) <= (int64_t)size ||
           (points->any && at - points->last < toll - size);
}
