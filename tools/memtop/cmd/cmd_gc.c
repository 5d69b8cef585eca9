/* memtop gc: asks a process for a cycle, waits, prints its line. */
#include "cli.h"
#include "commands.h"
#include "target/ask.h"
#include "target/discover.h"
#include "target/source.h"
#include "view/gctrace.h"

#include <stdio.h>

static int print_answer(const struct source *source, const struct md_cycle *cycle, bool json)
{
    char line[GCTRACE_JSON_SIZE];
    uint32_t pid = (uint32_t)source->target.pid;
    size_t length = json ? gctrace_format_json(GCTRACE_EXACT, cycle, pid, source->target.name, line,
                                               sizeof line)
                         : gctrace_format(cycle, pid, source->target.name, line, sizeof line);
    fwrite(line, 1, length, stdout);
    return cycle->flags & MD_CYCLE_SKIPPED ? EXIT_FAILED : EXIT_DONE;
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
        cli_error("%d %s %s: nothing can be asked of it; memtop heap %s still works",
                  (int)target.pid, target.name,
                  target.state == TARGET_UNSEEN ? "lives in another PID namespace"
                  : target.successor[0]         ? "has ended by exec"
                                                : "is dead",
                  options->arguments[0]);
        return EXIT_FAILED;
    }
    struct source source;
    struct md_cycle cycle;
    if (ask_possible(&target, error) || source_open(&source, &target, error)) {
        cli_error("%s", error);
        return EXIT_FAILED;
    }
    double seconds = options->interval_given ? options->view.interval_seconds : 10;
    status = EXIT_FAILED;
    if (ask_cycle(&source, seconds, &cycle, error))
        cli_error("%s", error);
    else
        status = print_answer(&source, &cycle, options->json);
    source_close(&source);
    return status;
}
