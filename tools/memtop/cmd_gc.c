/* memtop gc: asks a process for a cycle, waits, prints its line.  The one command that writes to a
 * segment: a bit in the control word, and a wake-up of whoever sleeps on it. */
#include "cli.h"
#include "discover.h"
#include "report.h"
#include "source.h"
#include "trace.h"
#include "view/gctrace.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* The first record that was not there before and was asked for (or skipped); NULL if none. */
static const struct md_cycle *answer(const struct snapshot *snapshot, uint64_t before)
{
    for (size_t i = 0; i < snapshot->cycle_count; i++) {
        const struct md_cycle *cycle = &snapshot->cycles[i];
        if (cycle->index >= before && (cycle->flags & (MD_CYCLE_FORCED | MD_CYCLE_SKIPPED)))
            return cycle;
    }
    return NULL;
}

static int print_answer(const struct source *source, const struct md_cycle *cycle, bool json)
{
    char line[GCTRACE_JSON_SIZE];
    uint32_t pid = (uint32_t)source->target.pid;
    size_t length = json ? gctrace_format_json(cycle, pid, source->target.name, line, sizeof line)
                         : gctrace_format(cycle, pid, source->target.name, line, sizeof line);
    fwrite(line, 1, length, stdout);
    return cycle->flags & MD_CYCLE_SKIPPED ? EXIT_FAILED : EXIT_DONE;
}

static int ask(struct source *source, double seconds, bool json)
{
    struct segment_file control;
    char error[VIEW_ERROR_SIZE];
    int pid = (int)source->target.pid;
    const char *name = source->target.name;
    if (segment_file_open(&control, source->target.path, true, error)) {
        cli_error("%s", error);
        return EXIT_FAILED;
    }
    uint64_t before = source->snapshot.header.section[MD_SECTION_CYCLES].count;
    uint32_t served = source->snapshot.header.control.served;
    uint32_t *request = (uint32_t *)((char *)control.base + offsetof(struct md_header, control) +
                                     offsetof(struct md_control, request));
    __atomic_fetch_or(request, MD_REQUEST_GC, __ATOMIC_ACQ_REL);
    syscall(SYS_futex, request, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    segment_file_close(&control);
    int64_t end_ns = monotonic_ns() + (int64_t)(seconds * 1e9);
    for (;;) {
        if (source_poll(source, SNAPSHOT_CYCLES, error)) {
            cli_error("%s", error);
            return EXIT_FAILED;
        }
        const struct md_cycle *cycle = answer(&source->snapshot, before);
        if (cycle)
            return print_answer(source, cycle, json);
        const struct md_control *word = &source->snapshot.header.control;
        if (word->served != served && word->result != 0) {
            cli_error("%d %s could not do it: %s", pid, name, strerror(word->result));
            return EXIT_FAILED;
        }
        if (source->state == SOURCE_ENDED) {
            cli_error("%d %s ended before it had done the cycle", pid, name);
            return EXIT_FAILED;
        }
        if (monotonic_ns() >= end_ns)
            break;
        sleep_ms(5);
    }
    cli_error("%d %s has not answered within %gs: the request stands, its next cycle serves it",
              pid, name, seconds);
    return EXIT_FAILED;
}

int command_gc(const struct options *options)
{
    if (options->argument_count == 0) {
        cli_error("gc: a TARGET is wanted; memtop ps lists them");
        return EXIT_USAGE;
    }
    struct target target;
    struct targets matches;
    char message[TARGET_MESSAGE_SIZE], error[VIEW_ERROR_SIZE];
    int status = target_resolve(options->arguments[0], &target, message, &matches);
    if (status != 0) {
        cli_targets(message, &matches);
        targets_fini(&matches);
        return status;
    }
    targets_fini(&matches);
    if (target.state != TARGET_LIVE) {
        cli_error("%d %s is dead: nothing can be asked of it; memtop heap %s still works",
                  (int)target.pid, target.name, options->arguments[0]);
        return EXIT_FAILED;
    }
    if (!(target.header.flags & MD_FLAG_GC)) {
        cli_error("%d %s was started without MEMDEBUG=gc=ready or observe", (int)target.pid,
                  target.name);
        return EXIT_FAILED;
    }
    struct source source;
    if (source_open(&source, &target, error)) {
        cli_error("%s", error);
        return EXIT_FAILED;
    }
    status = ask(&source, options->interval_given ? options->interval_seconds : 10, options->json);
    source_close(&source);
    return status;
}
