/* memtop ps: lists the processes on memdebug, living and dead; with --all the others too, and why
 * they are not. */
#include "cli.h"
#include "commands.h"
#include "series/units.h"
#include "target/discover.h"
#include "ui/report.h"
#include "view/plain_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Says what could be written nowhere else and is in the segment. */
static void print_kept(const struct target *target)
{
    char name[sizeof target->path];
    if (target->state == TARGET_LIVE)
        snprintf(name, sizeof name, "%d", (int)target->pid);
    else
        plain_text(name, sizeof name, target->path, sizeof target->path);
    if (target->header.flags & MD_FLAG_REPORT)
        printf("  (its leak report is here: memtop leaks %s)", name);
    if (target->header.trace_output == MD_TRACE_SEGMENT)
        printf("  (its trace lines are here: memtop tail %s)", name);
}

static void print_target(const struct target *target)
{
    char user[64], up[UNITS_SIZE], heap[UNITS_SIZE], peak[UNITS_SIZE], rss[UNITS_SIZE],
        cycles[UNITS_SIZE];
    bool readable = target_readable(target);
    bool live = target->state == TARGET_LIVE;
    uint64_t bytes;
    bool rss_known = live && proc_rss(target->pid, &bytes);
    const struct md_header *header = &target->header;
    proc_user(target->uid, user, sizeof user);
    printf("%7d %-10.10s %-7s %7s %7s %7s %7s %6s  ", (int)target->pid, user,
           target_state_name(target),
           units_age(up, readable ? header_uptime(header, monotonic_ns(), live) : NAN),
           units_bytes(heap, readable ? (double)header_inuse(header) : NAN),
           units_bytes(peak, readable ? (double)header->counters.peak_bytes : NAN),
           units_bytes(rss, rss_known ? (double)bytes : NAN),
           readable ? units_count(cycles, (double)header->counters.cycles) : "-");
    if (readable)
        printf("%s", target->cmdline[0] ? target->cmdline : target->name);
    else
        printf("%s%s%s", target->name, target->name[0] ? ": " : "", target->error);
    if (target->state == TARGET_UNSEEN)
        printf("  (lives in another PID namespace)");
    if (target->claims_other)
        printf("  (the file says it was user %u's)", (unsigned)target->header.uid);
    if (target->successor[0])
        printf("  (ended by exec of %s)", target->successor);
    if (target->state == TARGET_DEAD && target->ended_realtime_ns > 0) {
        struct timespec now;
        char ago[UNITS_SIZE];
        clock_gettime(CLOCK_REALTIME, &now);
        printf("  (last wrote %s ago)",
               units_age(ago, (double)now.tv_sec - (double)target->ended_realtime_ns / 1e9));
    }
    if (readable)
        print_kept(target);
    printf("\n");
}

static bool listed(const struct targets *targets, pid_t pid)
{
    for (size_t i = 0; i < targets->count; i++)
        if (targets->target[i].pid == pid && targets->target[i].state != TARGET_DEAD &&
            targets->target[i].state != TARGET_UNSEEN)
            return true;
    return false;
}

/* As JSON or CSV; releases it.  The line of names comes once. */
static void print_object(json_t *object, const struct options *options)
{
    static struct csv csv;
    static const struct target nobody = {.state = TARGET_DEAD};
    if (!options->csv) {
        ndjson_line(stdout, object);
        return;
    }
    if (!csv.columns) {
        json_t *example = report_target_json(&nobody);
        json_object_set_new(example, "reason", json_null());
        csv_begin(&csv, stdout, example, (const char *const[]){"version", "type", NULL});
    }
    csv_row(&csv, stdout, object);
}

static void print_other(pid_t pid, const struct options *options)
{
    struct proc_stat stat;
    char reason[160], user[64], command[512] = "";
    if (proc_stat(pid, &stat) != 0 || proc_is_kernel(&stat))
        return;
    target_why_not(pid, reason, sizeof reason, NULL, 0);
    proc_cmdline(pid, command, sizeof command);
    uint64_t bytes;
    bool rss_known = proc_rss(pid, &bytes);
    if (options->json || options->csv) {
        json_t *object = json_object();
        json_t *line = json_string(command);
        json_object_set_new(object, "version", json_integer(NDJSON_VERSION));
        json_object_set_new(object, "type", json_string("process"));
        json_object_set_new(object, "pid", json_integer(pid));
        json_object_set_new(object, "name", json_string(stat.comm));
        json_object_set_new(object, "command", line ? line : json_null());
        json_object_set_new(object, "instrumented", json_false());
        json_object_set_new(object, "rss_bytes",
                            rss_known ? ndjson_number((double)bytes) : json_null());
        json_object_set_new(object, "reason", json_string(reason));
        print_object(object, options);
        return;
    }
    char rss[UNITS_SIZE];
    proc_user(proc_uid(pid), user, sizeof user);
    printf("%7d %-10.10s %-7s %7s %7s %7s %7s %6s  %s: %s\n", (int)pid, user, "-", "-", "-", "-",
           units_bytes(rss, rss_known ? (double)bytes : NAN), "-", stat.comm, reason);
}

/* The dead of many containers would push the living out of sight. */
#define DEAD_SHOWN 16

static bool is_dead(const struct target *target)
{
    return target->state == TARGET_DEAD || target->state == TARGET_BAD;
}

int command_ps(const struct options *options)
{
    struct targets targets;
    size_t dead = 0;
    if (targets_scan(&targets) != 0) {
        cli_error("out of memory");
        return EXIT_FAILED;
    }
    bool text = !options->json && !options->csv;
    if (text && (targets.count > 0 || options->all))
        printf("%7s %-10s %-7s %7s %7s %7s %7s %6s  %s\n", "PID", "USER", "STATE", "UP", "HEAP",
               "PEAK", "RSS", "CYCLES", options->all ? "COMMAND, OR WHY NOT" : "COMMAND");
    for (size_t i = 0; i < targets.count; i++) {
        dead += is_dead(&targets.target[i]);
        if (!text)
            print_object(report_target_json(&targets.target[i]), options);
        else if (dead <= DEAD_SHOWN || options->all)
            print_target(&targets.target[i]);
    }
    if (text && !options->all && dead > DEAD_SHOWN)
        printf("%zu more of the dead: memtop ps --all\n", dead - DEAD_SHOWN);
    if (options->all) {
        pid_t *pids;
        size_t count = proc_pids(&pids);
        for (size_t i = 0; i < count; i++)
            if (pids[i] != getpid() && !listed(&targets, pids[i]))
                print_other(pids[i], options);
        free(pids);
    } else if (targets.count == 0 && !targets.passed_over) {
        bool root = geteuid() == 0;
        cli_error("no program%s runs on memdebug: start one with memtop run -- PROGRAM; "
                  "memtop ps --all says why the others do not%s",
                  root ? "" : " of yours", root ? "" : "; for other users' run memtop as root");
    }
    char lacks[TARGETS_LACKS][TARGETS_LACK_SIZE];
    for (size_t i = 0, n = targets_lacks(&targets, lacks); i < n; i++)
        cli_error("%s", lacks[i]);
    targets_fini(&targets);
    return EXIT_DONE;
}
