/* memtop set: has a process that runs set what MEMDEBUG sets at its start. */
#include "cli.h"
#include "commands.h"
#include "target/ask.h"
#include "target/discover.h"
#include "target/source.h"

#include <stdio.h>

#define WAIT_SECONDS 2

int command_set(const struct options *options)
{
    if (options->argument_count < 2) {
        cli_error("set: a TARGET and KEY=VALUE are wanted, as in: memtop set 1234 "
                  "memprofilerate=64KiB");
        return EXIT_USAGE;
    }
    struct target target;
    struct source source;
    char error[VIEW_ERROR_SIZE];
    int status = cli_live_target(options->arguments[0], &target);
    if (status != 0)
        return status;
    if (source_open(&source, &target, error)) {
        cli_error("%s", error);
        return EXIT_FAILED;
    }
    double seconds = options->interval_given ? options->view.interval_seconds : WAIT_SECONDS;
    bool pending = false;
    status = EXIT_DONE;
    for (size_t i = 1; i < options->argument_count && status == EXIT_DONE && !pending; i++) {
        const char *setting = options->arguments[i];
        if (ask_set(&source, setting, seconds, &pending, error)) {
            cli_error("%s", error);
            status = EXIT_FAILED;
        } else if (pending) {
            printf("%d %s: %s is pending: read when one of its threads has allocated or freed "
                   "64 KiB\n",
                   (int)target.pid, target.name, setting);
            /* One at a time can stand. */
            if (i + 1 < options->argument_count) {
                cli_error(
                    "%d %s: nothing else has been asked: %s, and what follows, once more then",
                    (int)target.pid, target.name, options->arguments[i + 1]);
                status = EXIT_FAILED;
            }
        } else {
            printf("%d %s: %s\n", (int)target.pid, target.name, setting);
        }
    }
    source_close(&source);
    return status;
}
