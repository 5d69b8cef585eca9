#include "rss_round.h"

#include "series/resident.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define WANTED_NS (INT64_C(300) * 1000000000)
#define EVERY_NS (INT64_C(5) * 1000000000)
#define SHARE 100 /* of a CPU, one in so many */
#define LEAST_NS INT64_C(10000000)

struct rss_round {
    struct fleet *fleet;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    int64_t wanted_ns; /* until then */
    bool running, stopping;
};

static int64_t cpu_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* parts->taken_ns 0: they could not be found out. */
static void look(const struct target *target, struct rss_parts *parts)
{
    struct source source;
    struct resident resident = {0};
    char error[VIEW_ERROR_SIZE];
    *parts = (struct rss_parts){0};
    if (source_open(&source, target, error))
        return;
    resident_ask(&resident, &source);
    if (source_poll(&source,
                    SNAPSHOT_PROFILE | SNAPSHOT_SAMPLES | SNAPSHOT_MAPPINGS | SNAPSHOT_RANGES,
                    error) == 0) {
        resident_read(&resident, &source);
        *parts = resident.parts;
    }
    source_close(&source);
}

/* With the lock: sleeps; false: there is an end to it. */
static bool sleep_locked(struct rss_round *round, int64_t ns)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    int64_t total = until.tv_nsec + ns;
    until.tv_sec += total / 1000000000;
    until.tv_nsec = total % 1000000000;
    while (!round->stopping && pthread_cond_timedwait(&round->changed, &round->lock, &until) == 0)
        ;
    return !round->stopping;
}

static void *go_round(void *closure)
{
    struct rss_round *round = closure;
    struct target target;
    struct rss_parts parts;
    pid_t last = 0;
    pthread_mutex_lock(&round->lock);
    while (!round->stopping && monotonic_ns() < round->wanted_ns) {
        pthread_mutex_unlock(&round->lock);
        int64_t begin = cpu_ns();
        bool found = fleet_next(round->fleet, last, monotonic_ns() - EVERY_NS, &target);
        last = found ? target.pid : 0;
        if (found) {
            look(&target, &parts);
            fleet_set_parts(round->fleet, &target, &parts);
        }
        int64_t pause = (cpu_ns() - begin) * (SHARE - 1);
        if (!found && pause < EVERY_NS / 5)
            pause = EVERY_NS / 5;
        pthread_mutex_lock(&round->lock);
        if (!sleep_locked(round, pause > LEAST_NS ? pause : LEAST_NS))
            break;
    }
    round->running = false;
    pthread_cond_broadcast(&round->changed);
    pthread_mutex_unlock(&round->lock);
    return NULL;
}

struct rss_round *rss_round_create(struct fleet *fleet)
{
    struct rss_round *round = calloc(1, sizeof *round);
    if (!round)
        return NULL;
    round->fleet = fleet;
    pthread_mutex_init(&round->lock, NULL);
    pthread_cond_init(&round->changed, NULL);
    return round;
}

void rss_round_destroy(struct rss_round *round)
{
    if (!round)
        return;
    pthread_mutex_lock(&round->lock);
    round->stopping = true;
    pthread_cond_broadcast(&round->changed);
    while (round->running)
        pthread_cond_wait(&round->changed, &round->lock);
    pthread_mutex_unlock(&round->lock);
    pthread_cond_destroy(&round->changed);
    pthread_mutex_destroy(&round->lock);
    free(round);
}

void rss_round_want(struct rss_round *round)
{
    pthread_t thread;
    pthread_mutex_lock(&round->lock);
    round->wanted_ns = monotonic_ns() + WANTED_NS;
    if (!round->running && !round->stopping &&
        pthread_create(&thread, NULL, go_round, round) == 0) {
        pthread_detach(thread);
        round->running = true;
    }
    pthread_mutex_unlock(&round->lock);
}
