/* memtop gc, memtop purge: ask a process for something, wait until it has been done, print what
 * came of it. */
#include "cli.h"
#include "commands.h"
#include "series/ndjson.h"
#include "series/units.h"
#include "target/ask.h"
#include "target/discover.h"
#include "target/process.h"
#include "target/source.h"
#include "view/gctrace.h"

#include <stdio.h>

#define WAIT_SECONDS 10

/* The one process that is meant, if it lives: EXIT_DONE; else what is wrong has been said. */
static int find_living(const struct options *options, const char *command, struct target *target)
{
    if (options->argument_count == 0) {
        cli_error("%s: a TARGET is wanted; memtop ps lists them", command);
        return EXIT_USAGE;
    }
    return cli_live_target(options->arguments[0], target);
}

static int print_cycle(const struct source *source, const struct md_cycle *cycle, bool json)
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
    struct target target;
    struct source source;
    struct md_cycle cycle;
    char error[VIEW_ERROR_SIZE];
    int status = find_living(options, "gc", &target);
    if (status != EXIT_DONE)
        return status;
    if (ask_possible(&target, error) || source_open(&source, &target, error)) {
        cli_error("%s", error);
        return EXIT_FAILED;
    }
    status = EXIT_FAILED;
    bool pending;
    if (ask_cycle(&source, cli_wait(options, WAIT_SECONDS), &cycle, &pending, error)) {
        cli_error("%s", error);
    } else if (pending) {
        cli_pending(options, &target, "gc");
        status = EXIT_DONE;
    } else {
        status = print_cycle(&source, &cycle, options->json);
    }
    source_close(&source);
    return status;
}

static void print_purge(const struct target *target, uint64_t before, uint64_t after, bool json)
{
    uint64_t fallen = before > after ? before - after : 0;
    if (json) {
        json_t *object = json_object();
        json_object_set_new(object, "version", json_integer(NDJSON_VERSION));
        json_object_set_new(object, "type", json_string("purge"));
        json_object_set_new(object, "pid", json_integer(target->pid));
        json_object_set_new(object, "name", ndjson_string(target->name));
        json_object_set_new(object, "rss_before_bytes", ndjson_number((double)before));
        json_object_set_new(object, "rss_bytes", ndjson_number((double)after));
        json_object_set_new(object, "rss_fallen_bytes", ndjson_number((double)fallen));
        ndjson_line(stdout, object);
        return;
    }
    char was[UNITS_SIZE], is[UNITS_SIZE], by[UNITS_SIZE];
    printf("%d %s: RSS %s, was %s: %s given back\n", (int)target->pid, target->name,
           units_bytes(is, (double)after), units_bytes(was, (double)before),
           units_bytes(by, (double)fallen));
}

int command_purge(const struct options *options)
{
    struct target target;
    struct source source;
    char error[VIEW_ERROR_SIZE];
    uint64_t before, after;
    int status = find_living(options, "purge", &target);
    if (status != EXIT_DONE)
        return status;
    if (source_open(&source, &target, error)) {
        cli_error("%s", error);
        return EXIT_FAILED;
    }
    status = EXIT_FAILED;
    bool known = proc_rss(target.pid, &before), pending;
    if (ask_purge(&source, cli_wait(options, WAIT_SECONDS), &pending, error)) {
        cli_error("%s", error);
    } else if (pending) {
        cli_pending(options, &target, "purge");
        status = EXIT_DONE;
    } else if (!known || !proc_rss(target.pid, &after)) {
        cli_error("%d %s: free memory has been given back; /proc does not say how much",
                  (int)target.pid, target.name);
    } else {
        print_purge(&target, before, after, options->json);
        status = EXIT_DONE;
    }
    source_close(&source);
    return status;
}
