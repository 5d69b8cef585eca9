/* memtop TARGET, and memtop alone, which shows the list to choose from. */
#include "cli.h"
#include "commands.h"
#include "series/watch.h"
#include "ui/fleet.h"
#include "ui/live_view.h"
#include "ui/report.h"
#include "ui/schema.h"
#include "ui/term.h"
#include "ui/wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BATCH_SITES = 20 };

static void sleep_seconds(double seconds)
{
    struct timespec time = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&time, NULL);
}

/* As cli_batch, but a file always gets text. */
static bool in_batch(const struct options *options)
{
    return options->output || cli_batch(options);
}

static int watch_batch(const struct target *target, const struct options *options)
{
    struct watch watch;
    struct csv csv = {NULL};
    char error[VIEW_ERROR_SIZE];
    if (!cli_output(options))
        return EXIT_FAILED;
    if (watch_open(&watch, target, false, error)) {
        cli_error("%s", error);
        return EXIT_FAILED;
    }
    watch_show(&watch, options->view.kind);
    watch.with_past = options->history;
    cli_missing_names();
    int status = EXIT_DONE;
    for (long i = 0; options->count == 0 || i < options->count; i++) {
        if (i > 0) {
            sleep_seconds(options->view.interval_seconds);
            if (watch_tick(&watch, false, error)) {
                cli_error("%s", error);
                status = EXIT_FAILED;
                break;
            }
        }
        if (options->csv) {
            report_csv(&csv, stdout, &watch);
        } else if (options->json) {
            char *text = report_json_text(&watch, BATCH_SITES);
            printf("%s\n", text ? text : "{}");
            free(text);
        } else {
            printf("%s", i > 0 ? "\n" : "");
            report_text(stdout, &watch, BATCH_SITES);
        }
        int flushed = cli_flush();
        if (flushed != EXIT_DONE) {
            status = flushed == EXIT_FAILED ? EXIT_FAILED : EXIT_DONE;
            break;
        }
        if (watch.source.state != SOURCE_LIVE)
            break;
    }
    csv_end(&csv);
    watch_close(&watch);
    return status;
}

/* `awaited`: there is no segment yet, and `message` says why. */
static int watch_live(struct target *target, bool awaited, char message[TARGET_MESSAGE_SIZE],
                      const struct options *options)
{
    char error[VIEW_ERROR_SIZE];
    if (!term_open(options->view.color, error)) {
        cli_error("%s", error);
        return EXIT_FAILED;
    }
    enum wait_end wait = awaited ? wait_live(target, &options->view, message) : WAIT_FOUND;
    enum live_end end = LIVE_QUIT;
    if (wait == WAIT_FOUND)
        end = live_watch(target, &options->view, false, error);
    term_close();
    if (wait == WAIT_OVER)
        cli_error("%s", message);
    if (end == LIVE_FAILED)
        cli_error("%s", error);
    return wait == WAIT_OVER || end == LIVE_FAILED ? EXIT_FAILED
           : term_signal()                         ? 128 + term_signal()
                                                   : EXIT_DONE;
}

int command_watch(const struct options *options)
{
    if (options->argument_count == 0)
        return command_list(options);
    if (options->history && !options->json) {
        cli_error("--history is for --json");
        return EXIT_USAGE;
    }
    cli_wrappers();
    struct target target;
    struct targets matches;
    char message[TARGET_MESSAGE_SIZE];
    int status = target_resolve(options->arguments[0], &target, message, &matches);
    bool batch = in_batch(options), awaited = status == 1 && target.pid != 0;
    if (awaited && batch && wait_batch(&target, message) == WAIT_FOUND) {
        awaited = false;
        status = 0;
    }
    size_t said = strlen(message);
    if (status == 1 && !awaited && options->slip_of)
        snprintf(message + said, sizeof message - said, "; or is memtop %s meant?",
                 options->slip_of);
    if (status != 0 && (batch || !awaited))
        cli_targets(message, &matches);
    targets_fini(&matches);
    if (batch)
        return status == 0 ? watch_batch(&target, options) : status;
    return status == 0 || awaited ? watch_live(&target, awaited, message, options) : status;
}

static int print_schema(void)
{
    json_t *schema = schema_json();
    int result = schema ? json_dumpf(schema, stdout, JSON_INDENT(2)) : -1;
    json_decref(schema);
    putchar('\n');
    if (result)
        cli_error("out of memory");
    return result || cli_flush() == EXIT_FAILED ? EXIT_FAILED : EXIT_DONE;
}

int command_list(const struct options *options)
{
    char error[VIEW_ERROR_SIZE];
    if (options->history) {
        cli_error("--history is of a TARGET");
        return EXIT_USAGE;
    }
    if (options->schema)
        return print_schema();
    cli_wrappers();
    if (!in_batch(options)) {
        if (!term_open(options->view.color, error)) {
            cli_error("%s", error);
            return EXIT_FAILED;
        }
        enum live_end end = fleet_watch(&options->view, error);
        term_close();
        if (end == LIVE_FAILED)
            cli_error("%s", error);
        return end == LIVE_FAILED ? EXIT_FAILED : term_signal() ? 128 + term_signal() : EXIT_DONE;
    }
    if (!cli_output(options))
        return EXIT_FAILED;
    /* Once, unless more is asked for. */
    long count = options->count > 0 ? options->count : options->interval_given ? 0 : 1;
    for (long i = 0; count == 0 || i < count; i++) {
        if (i > 0)
            sleep_seconds(options->view.interval_seconds);
        int status = command_ps(options);
        int flushed = status == EXIT_DONE ? cli_flush() : status;
        if (flushed != EXIT_DONE)
            return flushed == EXIT_FAILED ? EXIT_FAILED : EXIT_DONE;
    }
    return EXIT_DONE;
}
