#include "rate.h"

#include <math.h>

double rate_update(struct rate *rate, int64_t time_ns, int64_t publish_ns, uint64_t counter,
                   double unpublished, bool *bound)
{
    double seconds = (double)(time_ns - rate->time_ns) / 1e9;
    *bound = false;
    if (!rate->started || counter < rate->counter) {
        *rate = (struct rate){time_ns, publish_ns, counter, true, 0, NAN};
        return NAN;
    }
    /* The writer's clock is coarse: it may publish twice with the same time. */
    if ((publish_ns != rate->publish_ns || counter != rate->counter) && seconds > 0) {
        double value = (double)(counter - rate->counter) / seconds;
        *rate = (struct rate){time_ns, publish_ns, counter, true, seconds, value};
        return value;
    }
    if (isnan(rate->value) || seconds <= fmax(rate->span_seconds, 1))
        return rate->value;
    double most = unpublished / seconds;
    *bound = most < rate->value;
    return *bound || isnan(most) ? most : rate->value;
}
