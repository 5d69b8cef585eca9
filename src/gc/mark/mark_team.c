#include "gc/mark/mark_team.h"

#include "base/fmt.h"
#include "base/options.h"
#include "base/os.h"
#include "gc/sys/proc.h"
#include "gc/sys/raw.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define GIVE_LEAST 4u /* what is left to the giver at least */
#define LOOK_NS 200000
#define ALIVE_NS 50000000 /* how often to see whether a helper has been killed */
#define SPINS 64u
#define IDLE_NICE 19
#define OWN_NICE 5 /* of the first marker, at least: it yields to the program */
/* And what it takes of its CPU at most where the program uses them all.  Its weight alone does not
 * see to that: the kernel may leave two threads of the program on one CPU and the marker alone on
 * the other for all of a cycle. */
#define OWN_PERCENT 5
#define PACE_NS 1000000     /* CPU time between looks */
#define PACE_MOST 100000000 /* sleep at most */
/* Then it goes on at full speed: a cycle has to end within its limit, a minute at least. */
#define PACE_LIMIT_NS INT64_C(40000000000)

/* Tasks that want a CPU now, anywhere on the machine, this one included; a large number if that
 * cannot be told. */
static unsigned runnable(void)
{
    char text[128];
    long fd = proc_self_open("../loadavg", O_RDONLY), n = -1;
    if (fd >= 0) {
        n = RAW3(SYS_read, fd, text, sizeof text - 1);
        RAW3(SYS_close, fd, 0, 0);
    }
    if (n <= 0)
        return UINT32_MAX;
    text[n] = '\0';
    unsigned field = 0, value = 0;
    const char *p = text;
    for (; *p && field < 3; p++)
        field += *p == ' ';
    for (; *p >= '0' && *p <= '9'; p++)
        value = value * 10 + (unsigned)(*p - '0');
    return *p == '/' ? value : UINT32_MAX;
}

/* Percent of one CPU that `gccpu` comes to, of so many. */
static uint64_t share_percent(unsigned cpus)
{
    uint64_t percent = option_number(OPTION_GCCPU);
    return MIN(percent, 100) * cpus;
}

bool mark_hurries;

int mark_nice(void)
{
    if (mark_hurries)
        return 0;
    /* The kernel's weights of nice 0 to 19: beside a task of nice 0 on the same CPU, one of weight
     * w gets w / (1024 + w). */
    static const uint16_t weight[] = {1024, 820, 655, 526, 423, 335, 272, 215, 172, 137,
                                      110,  87,  70,  56,  45,  36,  29,  23,  18,  15};
    uint64_t share = share_percent(os_cpu_count());
    int nice = OWN_NICE;
    while (nice < 19 && weight[nice] * (uint64_t)100 > share * (1024 + weight[nice]))
        nice++;
    return nice;
}

/* Percent of one CPU that a marker may use beside a program that uses so much: its part of that, as
 * it slows the program down even from a CPU that would be idle (they share caches and memory, and
 * the program pays for pages that are copied or tracked, for which a longer cycle leaves more
 * time).  Beside less than one thread more, up to all of it beside none. */
static int64_t fair_percent(int64_t used)
{
    int64_t share = (int64_t)share_percent(1), cpus = os_cpu_count();
    share = used < 100 ? 100 - (100 - share) * used / 100 : share * used / 100;
    if (used + MIN(share, OWN_PERCENT) > 100 * cpus - 50)
        share = MIN(share, OWN_PERCENT);
    return MAX(MIN(share, 100), 1);
}

/* The program's CPU time; the clock's name is made of its id (the marker is its child). */
static int64_t program_cpu_ns(void)
{
    return raw_clock_ns((int)(~(unsigned)RAW3(SYS_getppid, 0, 0, 0) << 3 | 2));
}

void team_pace(struct marker *marker)
{
    struct mark *mark = marker->mark;
    if (mark_hurries || (mark->hurry && __atomic_load_n(mark->hurry, __ATOMIC_RELAXED)))
        return;
    struct mark_pace *pace = &marker->pace;
    int64_t cpu = raw_clock_ns(CLOCK_THREAD_CPUTIME_ID), used = cpu - pace->cpu_ns;
    if (pace->wall_ns && used < PACE_NS)
        return;
    int64_t now = raw_clock_ns(CLOCK_MONOTONIC), program = program_cpu_ns();
    int64_t passed = now - pace->wall_ns;
    if (!mark->paced_since_ns)
        mark->paced_since_ns = now;
    if (now - mark->paced_since_ns > PACE_LIMIT_NS)
        return;
    if (pace->wall_ns && passed < used * 100) {
        /* Of the program also while we slept. */
        int64_t percent = (program - pace->program_ns) * 100 / MAX(now - pace->looked_ns, 1);
        int64_t due = used * 100 / fair_percent(percent);
        if (passed < due)
            raw_sleep_ns(MIN(due - passed, PACE_MOST));
    }
    *pace = (struct mark_pace){raw_clock_ns(CLOCK_MONOTONIC), cpu, now, program};
}

/* ---- in a helper ---- */

static void post(struct team *team)
{
    __atomic_fetch_add(&team->posted, 1, __ATOMIC_SEQ_CST);
    raw_futex_wake(&team->posted, (int)MARK_MOST, FUTEX_PRIVATE_FLAG);
}

static void help(void *ctx)
{
    struct marker *marker = ctx;
    while (team_take(marker))
        if (!marker_drain(marker)) {
            marker_settle(marker);
            __atomic_store_n(&marker->left, true, __ATOMIC_RELEASE);
            post(marker->mark->team);
            return;
        }
}

/* ---- in any marker ---- */

void team_give(struct marker *marker)
{
    struct team *team = marker->mark->team;
    size_t pages = marker->tail - marker->head;
    size_t ranges = marker->range_count;
    if (pages + ranges < 2 * GIVE_LEAST && ranges < 2)
        return;
    for (unsigned i = 0; i < TEAM_BOXES; i++) {
        struct team_box *box = &team->box[i];
        uint32_t empty = BOX_EMPTY;
        if (!__atomic_compare_exchange_n(&box->state, &empty, BOX_BUSY, false, __ATOMIC_SEQ_CST,
                                         __ATOMIC_RELAXED))
            continue;
        uint32_t n = 0;
        /* The oldest of each: what most hangs from. */
        for (size_t give = MIN(pages / 2, TEAM_BOX_ITEMS / 2); n < give; n++)
            box->items[n] =
                (struct mark_range){marker->pages[marker->head++ & marker->page_mask], 0};
        for (size_t give = MIN(ranges / 2, TEAM_BOX_ITEMS / 2); give; give--)
            box->items[n++] = marker->ranges[--marker->range_count];
        box->count = n;
        __atomic_store_n(&box->state, BOX_FULL, __ATOMIC_SEQ_CST);
        __atomic_fetch_add(&team->full, 1, __ATOMIC_RELAXED);
        post(team);
        return;
    }
}

static bool any_full(const struct team *team)
{
    for (unsigned i = 0; i < TEAM_BOXES; i++)
        if (__atomic_load_n(&team->box[i].state, __ATOMIC_SEQ_CST) != BOX_EMPTY)
            return true;
    return false;
}

static void become_active(struct team *team)
{
    __atomic_fetch_add(&team->version, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&team->active, 1, __ATOMIC_SEQ_CST);
}

static bool open_box(struct marker *marker)
{
    struct team *team = marker->mark->team;
    for (unsigned i = 0; i < TEAM_BOXES; i++) {
        struct team_box *box = &team->box[i];
        if (__atomic_load_n(&box->state, __ATOMIC_RELAXED) != BOX_FULL)
            continue;
        become_active(team);
        uint32_t full = BOX_FULL;
        if (!__atomic_compare_exchange_n(&box->state, &full, BOX_BUSY, false, __ATOMIC_SEQ_CST,
                                         __ATOMIC_RELAXED)) {
            __atomic_fetch_sub(&team->active, 1, __ATOMIC_SEQ_CST);
            continue;
        }
        for (uint32_t n = 0; n < box->count; n++)
            if (box->items[n].end)
                marker_push_range(marker, box->items[n].start, box->items[n].end);
            else
                marker_push_page(marker, box->items[n].start);
        __atomic_store_n(&box->state, BOX_EMPTY, __ATOMIC_SEQ_CST);
        __atomic_fetch_sub(&team->full, 1, __ATOMIC_RELAXED);
        return true;
    }
    return false;
}

/* Nobody is at work, and nobody has been since `version` was read. */
static bool all_done(const struct team *team)
{
    uint32_t version = __atomic_load_n(&team->version, __ATOMIC_SEQ_CST);
    return __atomic_load_n(&team->active, __ATOMIC_SEQ_CST) == 0 && !any_full(team) &&
           __atomic_load_n(&team->version, __ATOMIC_SEQ_CST) == version;
}

/* Marker 0 takes over the work of helpers that have left.  Such a one still counts as active. */
static bool take_over(struct marker *marker)
{
    struct team *team = marker->mark->team;
    for (unsigned i = 1; i < team->started; i++) {
        struct marker *from = team->marker[i];
        if (!__atomic_load_n(&from->left, __ATOMIC_ACQUIRE))
            continue;
        for (; from->head != from->tail; from->head++)
            marker_push_page(marker, from->pages[from->head & from->page_mask]);
        for (; from->range_count; from->range_count--)
            marker_push_range(marker, from->ranges[from->range_count - 1].start,
                              from->ranges[from->range_count - 1].end);
        from->left = false;
        return true; /* active in its place */
    }
    return false;
}

/* A helper that was killed takes with it what it had. */
static bool lost_one(struct team *team)
{
    for (unsigned i = 1; i < team->started; i++)
        if (!__atomic_load_n(&team->task[i].done, __ATOMIC_ACQUIRE) &&
            !task_alive(&team->task[i]) && !__atomic_load_n(&team->task[i].done, __ATOMIC_ACQUIRE))
            return true;
    return false;
}

bool team_take(struct marker *marker)
{
    struct team *team = marker->mark->team;
    /* A helper that has just been started was not active. */
    if (marker->wall_ns || marker->number == 0)
        __atomic_fetch_sub(&team->active, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&team->hungry, 1, __ATOMIC_SEQ_CST);
    int64_t asked = 0;
    bool found = false;
    for (unsigned tries = 0; !__atomic_load_n(&team->quit, __ATOMIC_ACQUIRE); tries++) {
        uint32_t posted = __atomic_load_n(&team->posted, __ATOMIC_SEQ_CST);
        if (open_box(marker) || (marker->number == 0 && take_over(marker))) {
            found = true;
            break;
        }
        if (all_done(team)) {
            post(team);
            break;
        }
        if (tries < SPINS) {
            cpu_relax();
            continue;
        }
        raw_futex_wait(&team->posted, posted, LOOK_NS, FUTEX_PRIVATE_FLAG);
        if (marker->number == 0) {
            int64_t now = raw_clock_ns(CLOCK_MONOTONIC);
            if (now - asked > ALIVE_NS && asked && lost_one(team)) {
                __atomic_store_n(&marker->mark->overflowed, true, __ATOMIC_RELAXED);
                break;
            }
            if (!asked || now - asked > ALIVE_NS)
                asked = now;
        }
    }
    __atomic_fetch_sub(&team->hungry, 1, __ATOMIC_SEQ_CST);
    if (found) { /* waiting here is not waiting for a CPU */
        marker->wall_ns = raw_clock_ns(CLOCK_MONOTONIC);
        marker->cpu_ns = raw_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    }
    return found;
}

/* ---- marker 0 ---- */

static bool make_team(struct mark *mark)
{
    if (mark->team)
        return true;
    struct team *team = own_map((sizeof *team + 4095) & ~(size_t)4095);
    if (!team)
        return false;
    team->mark = mark;
    team->marker[0] = mark->marker;
    mark->team = team;
    return true;
}

bool team_start(struct mark *mark)
{
    unsigned wanted = MIN(mark->helpers, MARK_MOST - 1);
    if (!mark->eager) {
        unsigned cpus = os_cpu_count(), busy = runnable();
        wanted = busy < cpus ? MIN(cpus - busy, wanted) : 0;
    }
    if (!wanted || !make_team(mark))
        return false;
    struct team *team = mark->team;
    uint64_t share = share_percent(os_cpu_count());
    int own_nice = 20 - (int)RAW3(SYS_getpriority, 0, 0, 0); /* the bare call answers 20 - nice */
    team->quit = false;
    team->active = 1;
    team->hungry = team->full = 0;
    team->started = 1;
    mark->marker->alone = false;
    for (unsigned i = 1; i <= wanted; i++) {
        struct marker *marker = team->marker[i];
        if (!marker && !(marker = team->marker[i] = marker_new(mark)))
            break;
        marker->number = i;
        marker->alone = false;
        marker->left = false;
        marker->wall_ns = 0;
        /* Within the share as the first one; beyond it only what is idle. */
        int nice = mark->eager || share >= 100 * (i + 1) ? 0 : MAX(IDLE_NICE - own_nice, 0);
        if (task_start(&team->task[i], help, marker, nice))
            break;
        team->started++;
    }
    if (team->started == 1)
        mark->marker->alone = true;
    mark->markers = MAX(mark->markers, team->started);
    return team->started > 1;
}

void team_end(struct mark *mark)
{
    struct team *team = mark->team;
    __atomic_store_n(&team->quit, true, __ATOMIC_RELEASE);
    post(team);
    for (unsigned i = 1; i < team->started; i++) {
        while (task_wait(&team->task[i], INT64_C(1000000000)) && task_runs(&team->task[i]))
            post(team);
        mark->helper_cpu_ns += team->task[i].cpu_ns;
        /* Killed, or left with work in hand while another was: its queue counts for nothing, and
         * all is looked at again. */
        struct marker *marker = team->marker[i];
        marker->head = marker->tail = marker->range_count = 0;
        __builtin_memset(marker->ahead, 0, sizeof marker->ahead);
        marker->left = false;
    }
    for (unsigned i = 0; i < TEAM_BOXES; i++)
        team->box[i].state = BOX_EMPTY;
    team->started = 1;
    mark->marker->alone = true;
}

/* A helper whose marker is dead is somebody else's child now, if it is still there at all. */
static bool has_ended(int pid)
{
    for (unsigned tries = 0; tries < 100; tries++) {
        char name[40], stat[64];
        if (RAW3(SYS_kill, pid, 0, 0) == -ESRCH)
            return true;
        struct fmt path = fmt_on(name, sizeof name);
        fmt_text(&path, "../");
        fmt_u64(&path, (uint64_t)pid);
        fmt_text(&path, "/stat");
        if (proc_self_read(name, stat, sizeof stat) > 0) {
            const char *p = strchr(stat, ')');
            if (p && p[1] == ' ' && p[2] == 'Z')
                return true;
        }
        raw_sleep_ns(1000000);
    }
    return false;
}

void mark_renew(struct mark *mark)
{
    for (unsigned i = 1; mark->team && i < MARK_MOST; i++)
        task_renew(&mark->team->task[i]);
}

bool team_free(struct mark *mark)
{
    struct team *team = mark->team;
    if (!team)
        return true;
    for (unsigned i = 1; i < MARK_MOST; i++) {
        if (team->task[i].pid && !has_ended(team->task[i].pid))
            return false;
        task_renew(&team->task[i]);
    }
    for (unsigned i = 1; i < MARK_MOST; i++) {
        marker_free(team->marker[i]);
        task_free(&team->task[i]);
    }
    own_unmap(team, (sizeof *team + 4095) & ~(size_t)4095);
    mark->team = NULL;
    return true;
}
