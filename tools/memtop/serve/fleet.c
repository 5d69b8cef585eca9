#include "fleet.h"

#include "target/source.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)
/* How old a search may be, as a time and as a multiple of how long it took; when a pid is asked for
 * that is not known, much younger. */
#define SEARCH_NS SECOND
#define SEARCH_SHARE 20
#define MISS_NS (SECOND / 5)
#define MISS_SHARE 4

struct member {
    struct target target;
    struct segment_file file;
    struct pauses pauses;
    struct md_cycle last;
    struct rss_parts parts;
    int64_t parts_ns;    /* when it was looked into; 0: never */
    uint64_t next_cycle; /* index of the first that has not been counted */
    bool kept;           /* found by the search under way */
};

struct fleet {
    pthread_mutex_t lock; /* guards all else */
    struct member **members;
    size_t count;
    int64_t searched_ns, lasted_ns; /* the end of the last search; 0: never */
    int64_t began_ns;               /* of the last search, which may be under way */
    bool searching;                 /* somebody does, without the lock */
    pthread_cond_t searched;        /* that has ended */
};

/* Each segment that is kept, each connection and each profile takes descriptors. */
static void raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

struct fleet *fleet_open(void)
{
    struct fleet *fleet = calloc(1, sizeof *fleet);
    if (!fleet)
        return NULL;
    raise_limit();
    pthread_mutex_init(&fleet->lock, NULL);
    pthread_cond_init(&fleet->searched, NULL);
    return fleet;
}

static void close_member(struct member *member)
{
    segment_file_close(&member->file);
    free(member);
}

void fleet_close(struct fleet *fleet)
{
    if (!fleet)
        return;
    pthread_mutex_lock(&fleet->lock);
    while (fleet->searching)
        pthread_cond_wait(&fleet->searched, &fleet->lock);
    pthread_mutex_unlock(&fleet->lock);
    for (size_t i = 0; i < fleet->count; i++)
        close_member(fleet->members[i]);
    free(fleet->members);
    pthread_cond_destroy(&fleet->searched);
    pthread_mutex_destroy(&fleet->lock);
    free(fleet);
}

/* The member that has this segment; NULL: there is none. */
static struct member *member_of(struct fleet *fleet, const struct target *target)
{
    for (size_t i = 0; i < fleet->count; i++) {
        struct member *member = fleet->members[i];
        if (member->target.pid == target->pid && member->target.ino == target->ino &&
            member->target.dev == target->dev && member->target.start_ticks == target->start_ticks)
            return member;
    }
    return NULL;
}

static struct member *open_member(const struct target *target)
{
    struct member *member = calloc(1, sizeof *member);
    char error[VIEW_ERROR_SIZE];
    if (!member)
        return NULL;
    if (segment_file_open(&member->file, target->path, false, error) ||
        member->file.ino != target->ino || member->file.dev != target->dev) {
        close_member(member);
        return NULL;
    }
    return member;
}

/* Takes over what a search has found: by pid, the living that can be read. */
static void adopt(struct fleet *fleet, const struct targets *targets)
{
    struct member **fresh = calloc(targets->count + 1, sizeof *fresh);
    size_t count = 0;
    if (!fresh)
        return;
    for (size_t i = 0; i < fleet->count; i++)
        fleet->members[i]->kept = false;
    for (size_t i = 0; i < targets->count; i++) {
        const struct target *target = &targets->target[i];
        if (target->state != TARGET_LIVE)
            continue;
        struct member *member = member_of(fleet, target);
        if (!member)
            member = open_member(target);
        if (!member)
            continue;
        member->target = *target;
        member->kept = true;
        fresh[count++] = member;
    }
    for (size_t i = 0; i < fleet->count; i++)
        if (!fleet->members[i]->kept)
            close_member(fleet->members[i]);
    free(fleet->members);
    fleet->members = fresh;
    fleet->count = count;
}

/* Whoever has set `searching` does this. */
static void search(struct fleet *fleet)
{
    struct targets targets;
    int64_t begin = monotonic_ns();
    int result = targets_scan(&targets);
    pthread_mutex_lock(&fleet->lock);
    if (result == 0)
        adopt(fleet, &targets);
    fleet->searched_ns = monotonic_ns();
    fleet->lasted_ns = fleet->searched_ns - begin;
    fleet->searching = false;
    pthread_cond_broadcast(&fleet->searched);
    pthread_mutex_unlock(&fleet->lock);
    targets_fini(&targets);
}

static void *search_beside(void *fleet)
{
    search(fleet);
    return NULL;
}

/* How long until the next search may begin. */
static int64_t wait_ns(const struct fleet *fleet, int64_t least_ns, int64_t share)
{
    int64_t pause = share * fleet->lasted_ns > least_ns ? share * fleet->lasted_ns : least_ns;
    int64_t left = fleet->searched_ns + pause - monotonic_ns();
    return left > 0 ? left : 0;
}

/* With the lock, which it gives away meanwhile: searches, or waits for who does. */
static void search_now_locked(struct fleet *fleet)
{
    if (fleet->searching) {
        while (fleet->searching)
            pthread_cond_wait(&fleet->searched, &fleet->lock);
        return;
    }
    fleet->searching = true;
    fleet->began_ns = monotonic_ns();
    pthread_mutex_unlock(&fleet->lock);
    search(fleet);
    pthread_mutex_lock(&fleet->lock);
}

/* Takes the lock.  The first time it searches; later, where that is due, a thread does beside: who
 * asks gets what is known. */
static void lock_fleet(struct fleet *fleet)
{
    pthread_t thread;
    pthread_mutex_lock(&fleet->lock);
    if (!fleet->searched_ns) {
        search_now_locked(fleet);
    } else if (!fleet->searching && wait_ns(fleet, SEARCH_NS, SEARCH_SHARE) == 0) {
        fleet->searching = true;
        fleet->began_ns = monotonic_ns();
        if (pthread_create(&thread, NULL, search_beside, fleet) == 0)
            pthread_detach(thread);
        else
            fleet->searching = false;
    }
}

static bool is_shown(const struct target *target, bool all)
{
    return all || target->uid == geteuid();
}

/* Whether the process that has the segment still runs, and has it mapped. */
static bool runs(const struct member *member, struct proc_stat *stat)
{
    const struct target *target = &member->target;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    bool free_lock = member->file.fd >= 0 && fcntl(member->file.fd, F_OFD_GETLK, &lock) == 0 &&
                     lock.l_type == F_UNLCK;
    return !free_lock && proc_stat(target->pid, stat) == 0 && !proc_ended(stat) &&
           proc_started_at(target->pid, stat, target->start_ticks);
}

static struct member *find_locked(struct fleet *fleet, pid_t pid)
{
    struct proc_stat stat;
    for (size_t i = 0; i < fleet->count; i++)
        if (fleet->members[i]->target.pid == pid && runs(fleet->members[i], &stat))
            return fleet->members[i];
    return NULL;
}

/* With the lock, which it gives away meanwhile: has a search be made that begins after now. */
static void search_anew_locked(struct fleet *fleet)
{
    int64_t now = monotonic_ns();
    while (fleet->began_ns < now) {
        int64_t wait = fleet->searching ? 0 : wait_ns(fleet, MISS_NS, MISS_SHARE);
        if (wait == 0) {
            search_now_locked(fleet);
            continue;
        }
        pthread_mutex_unlock(&fleet->lock);
        nanosleep(&(struct timespec){wait / SECOND, wait % SECOND}, NULL);
        pthread_mutex_lock(&fleet->lock);
    }
}

int fleet_find(struct fleet *fleet, pid_t pid, bool all, struct target *target)
{
    struct proc_stat stat;
    lock_fleet(fleet);
    struct member *member = find_locked(fleet, pid);
    if (!member && proc_stat(pid, &stat) == 0) {
        search_anew_locked(fleet);
        member = find_locked(fleet, pid);
    }
    int result = !member ? ENOENT : is_shown(&member->target, all) ? 0 : EACCES;
    if (result == 0)
        *target = member->target;
    pthread_mutex_unlock(&fleet->lock);
    return result;
}

size_t fleet_list(struct fleet *fleet, const char *name, bool all, struct target **targets)
{
    struct proc_stat stat;
    size_t count = 0;
    lock_fleet(fleet);
    *targets = calloc(fleet->count + 1, sizeof **targets);
    for (size_t i = 0; i < fleet->count && *targets; i++) {
        const struct member *member = fleet->members[i];
        if (is_shown(&member->target, all) && (!name || strcmp(member->target.name, name) == 0) &&
            runs(member, &stat))
            (*targets)[count++] = member->target;
    }
    pthread_mutex_unlock(&fleet->lock);
    return count;
}

static void count_pause(struct pauses *pauses, const struct md_cycle *cycle)
{
    static const double bounds[PAUSE_BOUNDS_COUNT] = PAUSE_BOUNDS;
    double seconds = ((double)cycle->stop1_ns + (double)cycle->stop2_ns) / 1e9;
    for (size_t i = 0; i < PAUSE_BOUNDS_COUNT; i++)
        pauses->below[i] += seconds <= bounds[i];
    pauses->count++;
    pauses->sum_seconds += seconds;
}

/* Counts the cycles that are new since the last look.  More than the ring holds are lost. */
static void count_cycles(struct member *member, const struct snapshot *snap)
{
    for (size_t i = 0; i < snap->cycle_count; i++) {
        const struct md_cycle *cycle = &snap->cycles[i];
        if (cycle->index < member->next_cycle)
            continue;
        member->next_cycle = cycle->index + 1;
        if (cycle->flags & MD_CYCLE_SKIPPED)
            continue;
        count_pause(&member->pauses, cycle);
        member->last = *cycle;
    }
}

/* False: the segment cannot be read, or its process has ended. */
static bool read_member(struct member *member, struct reading *reading)
{
    struct proc_stat stat;
    struct snapshot snap;
    if (!runs(member, &stat) || snapshot_take(&snap, member->file.base, member->file.size, 0, NULL))
        return false;
    if (snap.header.section[MD_SECTION_CYCLES].count > member->next_cycle) {
        snapshot_fini(&snap);
        if (snapshot_read(&snap, &member->file, SNAPSHOT_CYCLES, NULL))
            return false;
        count_cycles(member, &snap);
    }
    *reading = (struct reading){.pid = member->target.pid,
                                .header = snap.header,
                                .rss_bytes = stat.rss_bytes,
                                .threads = stat.threads,
                                .pauses = member->pauses,
                                .last = member->last,
                                .parts = member->parts};
    memcpy(reading->name, member->target.name, sizeof reading->name);
    snapshot_fini(&snap);
    return true;
}

size_t fleet_read(struct fleet *fleet, pid_t pid, bool all, struct reading **readings)
{
    size_t count = 0;
    lock_fleet(fleet);
    *readings = calloc(pid ? 1 : fleet->count + 1, sizeof **readings);
    for (size_t i = 0; i < fleet->count && *readings; i++) {
        struct member *member = fleet->members[i];
        if (is_shown(&member->target, all) && (!pid || member->target.pid == pid) &&
            read_member(member, &(*readings)[count]))
            count++;
        if (pid && count)
            break;
    }
    pthread_mutex_unlock(&fleet->lock);
    return count;
}

bool fleet_next(struct fleet *fleet, pid_t pid, int64_t since_ns, struct target *target)
{
    struct member *next = NULL;
    pthread_mutex_lock(&fleet->lock);
    for (size_t i = 0; i < fleet->count && !next; i++) {
        struct member *member = fleet->members[i];
        if (member->target.pid > pid && member->parts_ns <= since_ns)
            next = member;
    }
    if (next)
        *target = next->target;
    pthread_mutex_unlock(&fleet->lock);
    return next != NULL;
}

void fleet_set_parts(struct fleet *fleet, const struct target *target,
                     const struct rss_parts *parts)
{
    pthread_mutex_lock(&fleet->lock);
    struct member *member = member_of(fleet, target);
    if (member) {
        member->parts_ns = monotonic_ns();
        if (parts->taken_ns)
            member->parts = *parts;
    }
    pthread_mutex_unlock(&fleet->lock);
}
