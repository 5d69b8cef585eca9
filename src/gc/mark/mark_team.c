#include "gc/mark/mark_team.h"

#include "base/fmt.h"
#include "base/os.h"
#include "gc/mark/mark_pace.h"
#include "gc/sys/proc.h"
#include "gc/sys/raw.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define HELP_BACKLOG 16u
#define GIVE_MIN 4u /* what is left to the giver at least */
#define LOOK_NS 200000
#define ALIVE_NS 50000000 /* how often to see whether a helper has been killed */
#define SPINS 64u
#define IDLE_NICE 19

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

/* ---- in any marker ---- */

static void post(struct team *team)
{
    __atomic_fetch_add(&team->posted, 1, __ATOMIC_SEQ_CST);
    raw_futex_wake(&team->posted, (int)MARK_MAX, FUTEX_PRIVATE_FLAG);
}

/* Somebody has no work: gives some away if there is enough. */
static void give(struct marker *marker)
{
    struct team *team = marker->mark->team;
    size_t pages = marker->tail - marker->head;
    size_t ranges = marker->range_count;
    if (pages + ranges < 2 * GIVE_MIN && ranges < 2)
        return;
    for (unsigned i = 0; i < TEAM_PACKETS; i++) {
        struct team_packet *packet = &team->packet[i];
        uint32_t empty = PACKET_EMPTY;
        if (!__atomic_compare_exchange_n(&packet->state, &empty, PACKET_BUSY, false,
                                         __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
            continue;
        uint32_t n = 0;
        /* The oldest pages, from which most hangs. */
        for (size_t give = MIN(pages / 2, TEAM_PACKET_ITEMS / 2); n < give; n++)
            packet->items[n] =
                (struct mark_range){marker->pages[marker->head++ & marker->page_mask], 0};
        for (size_t give = MIN(ranges / 2, TEAM_PACKET_ITEMS / 2); give; give--)
            packet->items[n++] = marker->ranges[--marker->range_count];
        packet->count = n;
        __atomic_store_n(&packet->state, PACKET_FULL, __ATOMIC_SEQ_CST);
        __atomic_fetch_add(&team->demand.full, 1, __ATOMIC_RELAXED);
        post(team);
        return;
    }
}

static bool any_full(const struct team *team)
{
    for (unsigned i = 0; i < TEAM_PACKETS; i++)
        if (__atomic_load_n(&team->packet[i].state, __ATOMIC_SEQ_CST) != PACKET_EMPTY)
            return true;
    return false;
}

/* Before it takes a packet.  In this order: whoever reads `active` without this marker has read
 * `version` without it too, and finds it changed later (all_done). */
static void become_active(struct team *team)
{
    __atomic_fetch_add(&team->active, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&team->version, 1, __ATOMIC_SEQ_CST);
}

static bool open_packet(struct marker *marker)
{
    struct team *team = marker->mark->team;
    for (unsigned i = 0; i < TEAM_PACKETS; i++) {
        struct team_packet *packet = &team->packet[i];
        if (__atomic_load_n(&packet->state, __ATOMIC_RELAXED) != PACKET_FULL)
            continue;
        become_active(team);
        uint32_t full = PACKET_FULL;
        if (!__atomic_compare_exchange_n(&packet->state, &full, PACKET_BUSY, false,
                                         __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
            __atomic_fetch_sub(&team->active, 1, __ATOMIC_SEQ_CST);
            continue;
        }
        for (uint32_t n = 0; n < packet->count; n++)
            if (packet->items[n].end)
                marker_push_range(marker, packet->items[n].start, packet->items[n].end);
            else
                marker_push_page(marker, packet->items[n].start);
        __atomic_store_n(&packet->state, PACKET_EMPTY, __ATOMIC_SEQ_CST);
        __atomic_fetch_sub(&team->demand.full, 1, __ATOMIC_RELAXED);
        return true;
    }
    return false;
}

/* Whether there is no work anywhere.  Work is with an active marker or in a packet, and only active
 * markers fill packets.
 *
 * When `active` reads 0 no marker has work.  A marker that takes a packet after that counts itself
 * in `active` after it, and in `version` after that, before it takes the packet.  So if it has
 * taken one by the time that the packets are looked at, the second reading of `version` differs
 * from the first.  Else nobody has emptied or filled a packet since `active` was 0, and what is
 * empty when it is looked at has been so since. */
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
    __atomic_fetch_add(&team->demand.idle, 1, __ATOMIC_SEQ_CST);
    int64_t asked = 0;
    bool found = false;
    for (unsigned tries = 0; !__atomic_load_n(&team->quit, __ATOMIC_ACQUIRE); tries++) {
        uint32_t posted = __atomic_load_n(&team->posted, __ATOMIC_SEQ_CST);
        if (open_packet(marker) || (marker->number == 0 && take_over(marker))) {
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
    __atomic_fetch_sub(&team->demand.idle, 1, __ATOMIC_SEQ_CST);
    if (found) { /* waiting here is not waiting for a CPU */
        marker->wall_ns = raw_clock_ns(CLOCK_MONOTONIC);
        marker->cpu_ns = raw_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    }
    return found;
}

/* Whether the CPU is wanted by others. */
static bool has_waited(struct marker *marker)
{
    int64_t wall = raw_clock_ns(CLOCK_MONOTONIC), cpu = raw_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    int64_t waited = (wall - marker->wall_ns) - (cpu - marker->cpu_ns);
    bool first = marker->wall_ns == 0;
    marker->wall_ns = wall;
    marker->cpu_ns = cpu;
    return !first && waited > marker->mark->patience_ns;
}

bool team_mark(struct marker *marker)
{
    const struct mark *mark = marker->mark;
    for (;;)
        switch (marker_drain(marker)) {
        case MARKER_DONE:
            return true;
        case MARKER_GIVE:
            give(marker);
            break;
        case MARKER_CLOCK:
            if (marker->number == 0)
                mark_pace(marker);
            else if (has_waited(marker))
                return false;
            if (marker->alone && mark->helpers &&
                (marker_backlog(marker) >= HELP_BACKLOG || mark->eager))
                return false;
        }
}

static void help(void *ctx)
{
    struct marker *marker = ctx;
    while (team_take(marker))
        if (!team_mark(marker)) {
            marker_settle(marker);
            __atomic_store_n(&marker->left, true, __ATOMIC_RELEASE);
            post(marker->mark->team);
            return;
        }
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
    unsigned wanted = MIN(mark->helpers, MARK_MAX - 1);
    if (!mark->eager) {
        unsigned cpus = os_cpu_count(), busy = runnable();
        wanted = busy < cpus ? MIN(cpus - busy, wanted) : 0;
    }
    if (!wanted || !make_team(mark))
        return false;
    struct team *team = mark->team;
    uint64_t share = mark_share_percent(os_cpu_count());
    int own_nice = 20 - (int)RAW3(SYS_getpriority, 0, 0, 0); /* the bare call answers 20 - nice */
    team->quit = false;
    team->active = 1;
    team->demand.idle = team->demand.full = 0;
    team->started = 1;
    mark->marker->demand = &team->demand;
    mark->marker->alone = false;
    for (unsigned i = 1; i <= wanted; i++) {
        struct marker *marker = team->marker[i];
        if (!marker && !(marker = team->marker[i] = marker_new(mark)))
            break;
        marker->number = i;
        marker->demand = &team->demand;
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
        /* What is still in its queue counts for nothing.  It was killed, or it left with work in
         * hand while another was killed (lost_one): then all is looked at again. */
        struct marker *marker = team->marker[i];
        marker->head = marker->tail = marker->range_count = 0;
        __builtin_memset(marker->ahead, 0, sizeof marker->ahead);
        marker->left = false;
    }
    for (unsigned i = 0; i < TEAM_PACKETS; i++)
        team->packet[i].state = PACKET_EMPTY;
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

void team_postfork_child(struct mark *mark)
{
    for (unsigned i = 1; mark->team && i < MARK_MAX; i++)
        task_postfork_child(&mark->team->task[i]);
}

bool team_free(struct mark *mark)
{
    struct team *team = mark->team;
    if (!team)
        return true;
    for (unsigned i = 1; i < MARK_MAX; i++) {
        if (team->task[i].pid && !has_ended(team->task[i].pid))
            return false;
        task_postfork_child(&team->task[i]);
    }
    for (unsigned i = 1; i < MARK_MAX; i++) {
        marker_free(team->marker[i]);
        task_free(&team->task[i]);
    }
    own_unmap(team, (sizeof *team + 4095) & ~(size_t)4095);
    mark->team = NULL;
    return true;
}
