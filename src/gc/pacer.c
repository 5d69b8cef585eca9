#include "gc/pacer.h"

#include "base/compiler.h"

void pacer_init(struct pacer *pacer, int64_t now_ns)
{
    *pacer = (struct pacer){.start_ns = now_ns, .end_ns = now_ns};
}

void pacer_cycle(struct pacer *pacer, const struct pacer_cycle *cycle)
{
    uint64_t beside =
        cycle->beside_bytes > PACER_BESIDE_MIN ? cycle->beside_bytes - PACER_BESIDE_MIN : 0;
    double share = (double)beside / (double)MAX(cycle->heap_bytes + cycle->beside_bytes, 1);
    pacer->start_ns = cycle->start_ns;
    pacer->end_ns = cycle->end_ns;
    pacer->cpu_ns = cycle->cpu_ns;
    pacer->beside_ns = (int64_t)((double)cycle->cpu_ns * share);
    pacer->pause_ns = cycle->pause_ns;
    pacer->again_ns =
        cycle->done ? 0 : MIN(MAX(2 * pacer->again_ns, PACER_AGAIN_MIN_NS), PACER_AGAIN_MAX_NS);
}

void pacer_base(struct pacer *pacer, uint64_t in_use)
{
    pacer->base = in_use;
}

static uint64_t goal_by_growth(const struct pacer *pacer, const struct pacer_settings *settings)
{
    if (settings->percent == PACER_OFF)
        return PACER_OFF;
    uint64_t growth, goal;
    if (__builtin_mul_overflow(pacer->base, settings->percent, &growth) ||
        __builtin_add_overflow(pacer->base, growth / 100, &goal))
        return PACER_OFF;
    return MAX(goal, settings->min_heap);
}

uint64_t pacer_goal(const struct pacer *pacer, const struct pacer_settings *settings)
{
    return MIN(goal_by_growth(pacer, settings), settings->limit);
}

/* When a cycle by growth may start at the earliest. */
static int64_t growth_allowed_ns(const struct pacer *pacer, const struct pacer_settings *settings)
{
    int64_t by_cpu =
        (pacer->cpu_ns - pacer->beside_ns) * PACER_CPU_DIVISOR / MAX((int64_t)settings->cpus, 1) +
        pacer->beside_ns * PACER_AUTO_CPU_DIVISOR;
    int64_t by_pause = pacer->pause_ns * PACER_PAUSE_DIVISOR;
    return MAX(pacer->start_ns + MAX(by_cpu, by_pause), pacer->end_ns + pacer->again_ns);
}

static int64_t auto_ns(const struct pacer *pacer)
{
    return pacer->end_ns +
           MAX(MAX(PACER_AUTO_MIN_NS, pacer->again_ns), pacer->cpu_ns * PACER_AUTO_CPU_DIVISOR);
}

static int64_t timed_ns(const struct pacer *pacer, const struct pacer_settings *settings)
{
    if (settings->interval_ns == PACER_OFF)
        return INT64_MAX;
    if (settings->interval_ns == PACER_AUTO)
        return auto_ns(pacer);
    int64_t when;
    if (settings->interval_ns > INT64_MAX ||
        __builtin_add_overflow(pacer->end_ns, MAX((int64_t)settings->interval_ns, pacer->again_ns),
                               &when))
        return INT64_MAX;
    return when;
}

enum pacer_due pacer_due(const struct pacer *pacer, const struct pacer_settings *settings,
                         int64_t now_ns, uint64_t in_use, int64_t *look_again_ns)
{
    int64_t timed = timed_ns(pacer, settings);
    *look_again_ns = timed;
    if (in_use >= pacer_goal(pacer, settings)) {
        int64_t allowed = growth_allowed_ns(pacer, settings);
        bool by_limit_alone = in_use < goal_by_growth(pacer, settings);
        if (by_limit_alone &&
            pacer->base >= settings->limit - settings->limit / PACER_LIMIT_DIVISOR)
            allowed = MAX(allowed, auto_ns(pacer));
        if (now_ns >= allowed)
            return PACER_GROWN;
        *look_again_ns = MIN(timed, allowed);
    }
    return now_ns >= timed ? PACER_TIMED : PACER_WAIT;
}
