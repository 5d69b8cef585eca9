#include "roster.h"

#include "cycles.h"
#include "target/source.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)

enum {
    LOOKS_IN_TURN = 24, /* members off the screen that are looked at closely in a tick */
    EVENTS = 256        /* deaths that are taken in by one */
};

/* A directory that is watched. */
struct directory {
    char *path;
    int id; /* of inotify; -1: it is not there, or may not be read */
};

struct roster_watch {
    int inotify, epoll; /* -1: there is none */
    struct directory *directories;
    size_t directory_count;
    size_t turn;                    /* of the members: where the looks in turn go on */
    int64_t searched_ns, lasted_ns; /* the last search: its end, and how long it took */
    bool wanted;                    /* something has come that only a search can explain */
};

static void close_file(struct member *member)
{
    segment_file_close(&member->file);
    if (member->pidfd >= 0)
        close(member->pidfd); /* which takes it out of the epoll set */
    member->pidfd = -1;
}

static void drop(struct roster *roster, size_t i)
{
    close_file(roster->members[i]);
    free(roster->members[i]);
    roster->members[i] = roster->members[--roster->count];
}

static struct member *add(struct roster *roster)
{
    struct member **grown =
        realloc(roster->members, (roster->count + 1) * sizeof roster->members[0]);
    struct member *member = grown ? calloc(1, sizeof *member) : NULL;
    if (grown)
        roster->members = grown;
    if (!member)
        return NULL;
    member->file.fd = member->pidfd = -1;
    for (int i = 0; i < FIGURE_COUNT; i++)
        member->figure[i] = NAN;
    return roster->members[roster->count++] = member;
}

static bool is_same(const struct target *a, const struct target *b)
{
    return a->ino == b->ino && a->dev == b->dev &&
           (a->pid == b->pid || a->start_ticks == b->start_ticks);
}

static void push_point(struct member *member, int64_t time_ns, double heap_bytes)
{
    size_t at = member->point_next++ % ROSTER_POINTS;
    member->point[at].time_ns = time_ns;
    member->point[at].heap_bytes = heap_bytes;
    if (member->point_count < ROSTER_POINTS)
        member->point_count++;
}

void member_past(const struct member *member, int64_t now_ns, int64_t span_ns, double *out,
                 size_t count)
{
    size_t at = 0;
    double value = NAN;
    for (size_t i = 0; i < count; i++) {
        int64_t until = now_ns - span_ns / (int64_t)count * (int64_t)(count - 1 - i);
        for (; at < member->point_count; at++) {
            size_t place = (member->point_next - member->point_count + at) % ROSTER_POINTS;
            if (member->point[place].time_ns > until)
                break;
            value = member->point[place].heap_bytes;
        }
        out[i] = value;
    }
}

double member_growth(const struct member *member, int64_t now_ns)
{
    double then = NAN;
    int64_t then_ns = now_ns;
    for (size_t i = 0; i < member->point_count; i++) {
        size_t place = (member->point_next - member->point_count + i) % ROSTER_POINTS;
        bool minute_ago = member->point[place].time_ns <= now_ns - 60 * SECOND;
        if (!minute_ago && !isnan(then))
            break;
        then = member->point[place].heap_bytes;
        then_ns = member->point[place].time_ns;
        if (!minute_ago)
            break;
    }
    double seconds = (double)(now_ns - then_ns) / 1e9;
    if (isnan(then) || seconds < ROSTER_GROWTH_SECONDS)
        return NAN;
    return (member->figure[FIGURE_HEAP] - then) / seconds * 60;
}

/* The past that the segment has kept itself, as far as it is within the ring. */
static void take_past(struct member *member, const struct snapshot *snap, int64_t now_ns)
{
    int64_t last = now_ns - ROSTER_POINTS * ROSTER_POINT_NS;
    for (size_t i = 0; i < snap->past_count; i++) {
        const struct md_past *past = &snap->past[i];
        int64_t time_ns = (int64_t)past->time_ns;
        if (time_ns < last + ROSTER_POINT_NS || time_ns > now_ns ||
            past->alloc_bytes < past->free_bytes)
            continue;
        push_point(member, time_ns, (double)(past->alloc_bytes - past->free_bytes));
        last = time_ns;
    }
}

/* Bytes leaked, and the pause, of the newest cycles that tell. */
static void take_cycles(struct member *member, const struct snapshot *snap)
{
    for (size_t i = 0; i < snap->cycle_count; i++) {
        const struct md_cycle *cycle = &snap->cycles[i];
        if (cycle->flags & MD_CYCLE_SKIPPED)
            continue;
        member->figure[FIGURE_PAUSE] = cycle_pause_ns(cycle);
        if (cycle->flags & MD_CYCLE_LEAKS)
            member->figure[FIGURE_LEAKED] = (double)cycle->leaked_bytes;
    }
}

static bool is_seen_alive(const struct member *member)
{
    return member->target.state == TARGET_LIVE || member->target.state == TARGET_UNSEEN;
}

/* The figures that loads from the segment tell. */
static void read_counters(struct member *member, int64_t now_ns)
{
    struct md_header *header = &member->target.header;
    if (member->file.base)
        snapshot_counters(&member->file, &header->counters, &member->cycles);
    member->figure[FIGURE_UP] = header_uptime(header, now_ns, is_seen_alive(member));
    member->figure[FIGURE_HEAP] = (double)header_inuse(header);
    double seconds = (double)(now_ns - member->last_alloc_ns) / 1e9;
    uint64_t alloc = header->counters.alloc_bytes;
    if (member->last_alloc_ns == 0 || seconds >= 0.5) {
        member->figure[FIGURE_ALLOC] = member->last_alloc_ns && alloc >= member->last_alloc_bytes
                                           ? (double)(alloc - member->last_alloc_bytes) / seconds
                                           : NAN;
        member->last_alloc_bytes = alloc;
        member->last_alloc_ns = now_ns;
    }
    size_t newest = (member->point_next + ROSTER_POINTS - 1) % ROSTER_POINTS;
    if (member->point_count == 0 || now_ns - member->point[newest].time_ns >= ROSTER_POINT_NS)
        push_point(member, now_ns, member->figure[FIGURE_HEAP]);
    member->figure[FIGURE_GROWTH] = member_growth(member, now_ns);
}

/* What of a process is known no more once it has ended. */
static void forget_living(struct member *member)
{
    static const enum figure gone[] = {FIGURE_GROWTH, FIGURE_ALLOC, FIGURE_RSS, FIGURE_THREADS};
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++)
        member->figure[gone[i]] = NAN;
}

/* A look at what costs more: the process's own figures, and cycles that are new. */
static void look_closely(struct member *member, int64_t now_ns)
{
    struct target *target = &member->target;
    struct proc_stat stat;
    struct snapshot snap;
    member->looked_ns = now_ns;
    if (target->state == TARGET_LIVE && proc_stat(target->pid, &stat) == 0) {
        uint64_t rss = stat.rss_bytes;
        bool known = rss > 0 || proc_rss(target->pid, &rss);
        member->figure[FIGURE_RSS] = known ? (double)rss : NAN;
        member->figure[FIGURE_THREADS] = (double)stat.threads;
        member->parent = stat.parent;
        target->stopped = proc_stopped(&stat);
    }
    if (member->file.base && member->cycles != member->cycles_read &&
        snapshot_read(&snap, &member->file, SNAPSHOT_CYCLES, NULL) == 0) {
        take_cycles(member, &snap);
        member->cycles_read = member->cycles;
        snapshot_fini(&snap);
    }
}

/* Opens the segment of a member that is new, and takes all its figures.  Of the dead the segment is
 * closed again, as it does not change. */
static void open_member(struct roster *roster, struct member *member, int64_t now_ns)
{
    struct target *target = &member->target;
    struct snapshot snap;
    proc_user(target->uid, member->user, sizeof member->user);
    if (!target_readable(target))
        return;
    member->parent = (pid_t)target->header.parent_pid;
    bool open = segment_file_open(&member->file, target->path, false, NULL) == 0;
    if (open && (member->file.ino != target->ino || member->file.dev != target->dev ||
                 snapshot_read(&snap, &member->file, SNAPSHOT_CYCLES | SNAPSHOT_PAST, NULL)))
        close_file(member), open = false;
    if (open) {
        take_past(member, &snap, now_ns);
        take_cycles(member, &snap);
        member->cycles = member->cycles_read = snap.header.section[MD_SECTION_CYCLES].count;
        snapshot_fini(&snap);
    }
    read_counters(member, now_ns);
    look_closely(member, now_ns);
    if (!is_seen_alive(member)) {
        close_file(member);
        forget_living(member);
        return;
    }
    if (target->state != TARGET_LIVE)
        return;
    member->pidfd = (int)syscall(SYS_pidfd_open, target->pid, 0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = member->pidfd};
    if (member->pidfd >= 0)
        epoll_ctl(roster->watch->epoll, EPOLL_CTL_ADD, member->pidfd, &event);
}

/* Takes a target in: a new member, or what has changed of one. */
static void take_target(struct roster *roster, const struct target *target, int64_t now_ns)
{
    for (size_t i = 0; i < roster->count; i++) {
        struct member *member = roster->members[i];
        if (!is_same(&member->target, target))
            continue;
        member->kept = true;
        if (member->target.state == target->state)
            return;
        drop(roster, i);
        break;
    }
    struct member *member = add(roster);
    if (!member)
        return;
    member->target = *target;
    member->kept = true;
    open_member(roster, member, now_ns);
}

static void watch_directory(struct roster_watch *watch, const char *path)
{
    const uint32_t mask =
        IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_CLOSE_WRITE | IN_ONLYDIR | IN_EXCL_UNLINK;
    int id = watch->inotify >= 0 ? inotify_add_watch(watch->inotify, path, mask) : -1;
    for (size_t i = 0; i < watch->directory_count; i++)
        if (strcmp(watch->directories[i].path, path) == 0) {
            watch->directories[i].id = id;
            return;
        }
    struct directory *grown =
        realloc(watch->directories, (watch->directory_count + 1) * sizeof watch->directories[0]);
    char *copy = grown ? strdup(path) : NULL;
    if (grown)
        watch->directories = grown;
    if (copy)
        watch->directories[watch->directory_count++] = (struct directory){copy, id};
}

/* Looks for everybody. */
static void search(struct roster *roster)
{
    struct roster_watch *watch = roster->watch;
    struct targets targets;
    int64_t begin = monotonic_ns();
    watch->wanted = false;
    bool whole = targets_scan(&targets) == 0;
    for (size_t i = 0; i < roster->count; i++)
        roster->members[i]->kept = !whole;
    for (size_t i = 0; i < targets.directory_count; i++)
        watch_directory(watch, targets.directories[i]);
    for (size_t i = 0; i < targets.count; i++)
        take_target(roster, &targets.target[i], begin);
    for (size_t i = roster->count; i-- > 0;)
        if (!roster->members[i]->kept)
            drop(roster, i);
    roster->lack_count = targets_lacks(&targets, roster->lacks);
    roster->passed_over = targets.passed_over;
    targets_fini(&targets);
    watch->searched_ns = monotonic_ns();
    watch->lasted_ns = watch->searched_ns - begin;
}

/* Looks again at the file of a member whose process, or file, may be another now. */
static void judge_again(struct roster *roster, size_t i, int64_t now_ns)
{
    struct target fresh;
    const struct target *target = &roster->members[i]->target;
    char directory[sizeof target->path];
    snprintf(directory, sizeof directory, "%s", target->path);
    char *slash = strrchr(directory, '/');
    if (slash && strncmp(directory, "/proc/", 6) != 0) {
        *slash = '\0';
        if (!target_of_file(directory, slash + 1, &fresh)) {
            drop(roster, i);
        } else if (!is_same(&fresh, target) || fresh.state != target->state) {
            drop(roster, i);
            take_target(roster, &fresh, now_ns);
            /* Forked copies may have it mapped still, which only a search tells. */
            roster->watch->wanted |= fresh.state == TARGET_UNSEEN;
        }
        return;
    }
    drop(roster, i); /* it was reached through its process */
    roster->watch->wanted = true;
}

/* Those whose pidfd says that they have ended; what is over EVENTS is for the next tick. */
static void take_deaths(struct roster *roster, int64_t now_ns)
{
    struct epoll_event events[EVENTS];
    int count = roster->watch->epoll < 0 ? 0 : epoll_wait(roster->watch->epoll, events, EVENTS, 0);
    for (int e = 0; e < count; e++)
        for (size_t i = roster->count; i-- > 0;)
            if (roster->members[i]->pidfd == events[e].data.fd) {
                judge_again(roster, i, now_ns);
                break;
            }
}

/* One file has come, or gone. */
static void take_file(struct roster *roster, const char *directory, const char *name,
                      int64_t now_ns)
{
    struct target target;
    char path[sizeof target.path];
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path)
        return;
    for (size_t i = roster->count; i-- > 0;)
        if (strcmp(roster->members[i]->target.path, path) == 0) {
            judge_again(roster, i, now_ns);
            return;
        }
    if (!target_of_file(directory, name, &target))
        return;
    if (target.state == TARGET_UNSEEN) {
        roster->watch->wanted = true; /* it may be seen by another number */
        return;
    }
    /* By exec a process leaves the one that it had. */
    for (size_t i = roster->count; i-- > 0;)
        if (roster->members[i]->target.pid == target.pid &&
            roster->members[i]->target.state == TARGET_LIVE)
            judge_again(roster, i, now_ns);
    take_target(roster, &target, now_ns);
}

static void take_files(struct roster *roster, int64_t now_ns)
{
    struct roster_watch *watch = roster->watch;
    _Alignas(struct inotify_event) char buffer[16384];
    ssize_t n;
    while (watch->inotify >= 0 && (n = read(watch->inotify, buffer, sizeof buffer)) > 0)
        for (char *p = buffer; p < buffer + n;) {
            struct inotify_event event;
            memcpy(&event, p, sizeof event);
            const char *name = event.len ? p + sizeof event : "";
            p += sizeof event + event.len;
            if (event.mask & (IN_Q_OVERFLOW | IN_IGNORED))
                watch->wanted = true;
            if ((event.mask & IN_ISDIR) && strncmp(name, "memdebug-", 9) == 0)
                watch->wanted = true;
            for (size_t i = 0; i < watch->directory_count && event.wd >= 0; i++)
                if (watch->directories[i].id == event.wd && event.len) {
                    take_file(roster, watch->directories[i].path, name, now_ns);
                    break;
                }
        }
}

bool roster_open(struct roster *roster)
{
    struct rlimit limit;
    *roster = (struct roster){0};
    roster->watch = calloc(1, sizeof *roster->watch);
    if (!roster->watch)
        return false;
    /* Two descriptors for each member; without them a member is looked at by searches alone. */
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    roster->watch->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    roster->watch->epoll = epoll_create1(EPOLL_CLOEXEC);
    search(roster);
    return true;
}

void roster_close(struct roster *roster)
{
    struct roster_watch *watch = roster->watch;
    while (roster->count > 0)
        drop(roster, roster->count - 1);
    free(roster->members);
    if (watch) {
        for (size_t i = 0; i < watch->directory_count; i++)
            free(watch->directories[i].path);
        free(watch->directories);
        if (watch->inotify >= 0)
            close(watch->inotify);
        if (watch->epoll >= 0)
            close(watch->epoll);
        free(watch);
    }
    *roster = (struct roster){0};
}

/* Whether it is time to look for everybody again. */
static bool search_is_due(const struct roster_watch *watch, int64_t now_ns)
{
    int64_t age = now_ns - watch->searched_ns;
    return watch->wanted ? age >= SECOND && age >= watch->lasted_ns * ROSTER_SEARCH_SHARE / 10
                         : age >= 10 * SECOND && age >= watch->lasted_ns * ROSTER_SEARCH_SHARE;
}

void roster_tick(struct roster *roster)
{
    struct roster_watch *watch = roster->watch;
    int64_t now_ns = monotonic_ns();
    take_files(roster, now_ns);
    take_deaths(roster, now_ns);
    if (search_is_due(watch, now_ns))
        search(roster);
    for (size_t i = 0; i < roster->count; i++) {
        struct member *member = roster->members[i];
        if (member->file.base)
            read_counters(member, now_ns);
        if (member->on_screen && now_ns - member->looked_ns >= SECOND * 9 / 10)
            look_closely(member, now_ns);
    }
    for (size_t i = 0; i < LOOKS_IN_TURN && i < roster->count; i++) {
        if (watch->turn >= roster->count)
            watch->turn = 0;
        struct member *member = roster->members[watch->turn++];
        if (member->on_screen)
            continue;
        look_closely(member, now_ns);
        if (member->target.state == TARGET_LIVE)
            proc_cmdline(member->target.pid, member->target.cmdline, sizeof member->target.cmdline);
    }
}
