#include "source.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static bool fixed;
static int64_t fixed_ns, fixed_realtime_ns;

void monotonic_fix(int64_t monotonic, int64_t realtime_ns)
{
    fixed = true;
    fixed_ns = monotonic;
    fixed_realtime_ns = realtime_ns;
}

int64_t monotonic_ns(void)
{
    return fixed ? fixed_ns : monotonic_real_ns();
}

double realtime_seconds(void)
{
    struct timespec time = {fixed_realtime_ns / 1000000000, fixed_realtime_ns % 1000000000};
    if (!fixed)
        clock_gettime(CLOCK_REALTIME, &time);
    return (double)time.tv_sec + round((double)time.tv_nsec / 1e6) / 1e3;
}

int64_t monotonic_real_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

uint64_t header_inuse(const struct md_header *header)
{
    const struct md_counters *counters = &header->counters;
    return counters->alloc_bytes > counters->free_bytes
               ? counters->alloc_bytes - counters->free_bytes
               : 0;
}

double header_uptime(const struct md_header *header, int64_t now_ns, bool live)
{
    int64_t end = live ? now_ns : (int64_t)header->counters.publish_ns;
    int64_t start = (int64_t)header->start_ns;
    return end > start && start >= 0 ? (double)(end - start) / 1e9 : 0;
}

const char *source_state_name(const struct source *source)
{
    static const char *const names[] = {"live", "ended", "dead", "replaced", "unseen"};
    return source->state == SOURCE_LIVE && source->stopped ? "stopped" : names[source->state];
}

struct symbolizer_options source_symbols(const struct source *source, char root[SOURCE_ROOT_SIZE])
{
    const struct target *target = &source->target;
    struct symbolizer_options options = {.load_cxx = true};
    if (source->state != SOURCE_LIVE || source->feed)
        return options;
    snprintf(root, SOURCE_ROOT_SIZE, "/proc/%d/root", (int)target->pid);
    options.root = proc_other_root(target->pid) ? root : NULL;
    options.pid = target->pid;
    options.own_pid = proc_own_pid(target->pid);
    options.uid = target->uid;
    return options;
}

int source_open(struct source *source, const struct target *target, char error[VIEW_ERROR_SIZE])
{
    *source = (struct source){.target = *target};
    source->state = target->state == TARGET_LIVE     ? SOURCE_LIVE
                    : target->state == TARGET_UNSEEN ? SOURCE_UNSEEN
                                                     : SOURCE_DEAD;
    int result = segment_file_open(&source->file, target->path, false, error);
    if (result)
        return result;
    result = source_poll(source, 0, error);
    if (result)
        source_close(source);
    return result;
}

void source_close(struct source *source)
{
    if (source->taken)
        snapshot_fini(&source->snapshot);
    source->taken = false;
    if (!source->feed)
        segment_file_close(&source->file);
}

/* Whether the process still has this segment: it has not if it has called exec or made another.  If
 * nobody has it mapped, the file's lock says so at once.  As a forked copy may have it mapped
 * still, the process's maps are looked at too, each 2 s. */
static void check_segment(struct source *source, const struct proc_stat *stat)
{
    struct target *target = &source->target;
    bool lost = target_hold(target) == HOLD_NOBODY;
    int64_t now = monotonic_ns();
    if (!lost && now - source->checked_ns < 2000000000)
        return;
    source->checked_ns = now;
    struct proc_maps maps;
    proc_maps(target->pid, &maps);
    if (maps.readable)
        lost = !maps.segment || maps.ino != target->ino;
    target->successor[0] = '\0';
    source->state = !lost                                                        ? SOURCE_LIVE
                    : maps.segment || target_lives_on(target, stat->start_ticks) ? SOURCE_REPLACED
                                                                                 : SOURCE_ENDED;
}

/* Whether the process is there, and this still its segment: sets `state`. */
static void check_process(struct source *source)
{
    struct proc_stat stat;
    if (source->state == SOURCE_DEAD || source->state == SOURCE_ENDED ||
        source->state == SOURCE_UNSEEN)
        return;
    pid_t pid = source->target.pid;
    bool runs = proc_stat(pid, &stat) == 0 && !proc_ended(&stat);
    /* The header has the start as the process sees it, which differs between time namespaces: it is
     * not checked at the opening. */
    if (runs && source->target.start_ticks == 0)
        source->target.start_ticks = stat.start_ticks;
    if (runs && source->taken && !proc_started_at(pid, &stat, source->target.start_ticks))
        runs = false;
    source->stopped = runs && proc_stopped(&stat);
    if (!runs) {
        source->state = SOURCE_ENDED;
        return;
    }
    source->threads = stat.threads;
    source->rss_known = proc_rss(pid, &source->rss_bytes) || source->rss_known;
    proc_cmdline(pid, source->target.cmdline, sizeof source->target.cmdline);
    check_segment(source, &stat);
}

int source_poll(struct source *source, unsigned what, char error[VIEW_ERROR_SIZE])
{
    struct snapshot fresh;
    int result = 0;
    if (source->feed)
        result = source->feed(source, error);
    else
        check_process(source);
    if (source->feed) /* of samples it has only those that are lost */
        what &= ~(unsigned)SNAPSHOT_SAMPLES;
    if (result || (result = snapshot_read(&fresh, &source->file, what, error)))
        return result;
    if (source->feed)
        fresh.taken_ns = source->fed_ns;
    if (source->taken)
        snapshot_fini(&source->snapshot);
    source->snapshot = fresh;
    source->taken = true;
    source->torn += fresh.torn;
    return 0;
}
