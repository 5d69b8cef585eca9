/* memtop's main: sets the process up, runs the command, returns its status. */
#include "cmd/cmd_help.h"
#include "cmd/command_line.h"
#include "cmd/commands.h"
#include "series/names.h"
#include "target/bus_error.h"

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int (*const functions[COMMANDS_COUNT])(const struct options *options) = {
#define COMMAND(ident, name, function, ...) function,
#include "cmd/commands.def"
};

static void setup(void)
{
    setlocale(LC_ALL, "");
    setlocale(LC_NUMERIC, "C"); /* programs read our numbers too */
    signal(SIGPIPE, SIG_IGN);   /* without a reader a write fails */
    /* If descriptors 0 to 2 are closed, files that we open must not become standard error. */
    for (int fd = 0; fd <= 2; fd++)
        if (ttyname(fd) == NULL && errno == EBADF &&
            !freopen("/dev/null", fd ? "w" : "r",
                     fd == 0   ? stdin
                     : fd == 1 ? stdout
                               : stderr))
            break;
}

static int run_command(int argc, char **argv)
{
    const char *no_color = getenv("NO_COLOR");
    struct options options = {.view = {.interval_seconds = 1,
                                       .color = !(no_color && no_color[0]),
                                       .kind = MD_BUCKET_HEAP}};
    const struct command *command = NULL;
    int status = EXIT_DONE;
    setup();
    options.arguments = calloc((size_t)argc + 2, sizeof options.arguments[0]);
    if (!options.arguments)
        return EXIT_FAILED;
    switch (command_line_read(argc, argv, &options, &command)) {
    case LINE_COMMAND:
        status = functions[command - commands](&options);
        break;
    case LINE_HELP:
        help_print(stdout, command);
        break;
    case LINE_VERSION:
        printf("memtop " MEMDEBUG_VERSION "\n");
        break;
    case LINE_WRONG:
        status = EXIT_USAGE;
        break;
    }
    free(options.arguments);
    return status;
}

int main(int argc, char **argv)
{
    bus_error_survive();
    int status = run_command(argc, argv);
    if (cli_flush() == EXIT_FAILED && status == EXIT_DONE)
        status = EXIT_FAILED;
    if (names_running() > 0) /* exit's destructors must not run beside a thread that reads DWARF */
        _exit(status);
    return status;
}
