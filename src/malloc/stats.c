#include "malloc/stats.h"

#include "malloc/jemalloc.h"

#define ARENAS_ALL "4096" /* MALLCTL_ARENAS_ALL */

static uint64_t given_back; /* atomic */

void stats_refresh(void)
{
    uint64_t epoch = 1;
    size_t size = sizeof epoch;
    jep_mallctl("epoch", &epoch, &size, &epoch, size);
}

/* All that is asked for is of 8 bytes. */
uint64_t stats_value(const char *name)
{
    uint64_t value = 0;
    size_t size = sizeof value;
    return jep_mallctl(name, &value, &size, NULL, 0) == 0 ? value : 0;
}

uint64_t stats_dirty(void)
{
    return stats_value("stats.arenas." ARENAS_ALL ".pdirty") * JEMALLOC_PAGE;
}

uint64_t stats_muzzy(void)
{
    return stats_value("stats.arenas." ARENAS_ALL ".pmuzzy") * JEMALLOC_PAGE;
}

/* A page leaves jemalloc's hands as a dirty one; as a muzzy one it is with the system already. */
uint64_t stats_returned(void)
{
    return stats_value("stats.arenas." ARENAS_ALL ".dirty_purged") * JEMALLOC_PAGE;
}

uint64_t stats_give_back(void)
{
    stats_refresh();
    uint64_t before = stats_returned();
    jep_mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
    jep_mallctl("arena." ARENAS_ALL ".purge", NULL, NULL, NULL, 0);
    stats_refresh();
    uint64_t now = stats_returned() - before;
    __atomic_fetch_add(&given_back, now, __ATOMIC_RELAXED);
    return now;
}

uint64_t stats_given_back(void)
{
    return __atomic_load_n(&given_back, __ATOMIC_RELAXED);
}
