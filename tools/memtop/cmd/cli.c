#include "cli.h"

#include "series/ndjson.h"
#include "target/discover.h"
#include "ui/term.h"
#include "view/plain_text.h"
#include "view/symbolize.h"
#include "view/wrappers.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IDLE_SECONDS 2

void cli_error(const char *format, ...)
{
    char line[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    char clean[2048];
    plain_text(clean, sizeof clean, line, sizeof line);
    fflush(stdout);
    fprintf(stderr, "memtop: %s\n", clean);
}

void cli_missing_names(void)
{
    static bool said;
    const char *missing = symbolizer_missing();
    if (missing && !said)
        cli_error("%s", missing);
    said = true;
}

void cli_wrappers(void)
{
    static bool done;
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    char path[PATH_MAX], error[VIEW_ERROR_SIZE];
    int length = -1;
    if (done)
        return;
    done = true;
    if (config && config[0] == '/') /* a relative one is to be ignored, says XDG */
        length = snprintf(path, sizeof path, "%s/memtop/wrappers", config);
    else if (home && home[0] == '/')
        length = snprintf(path, sizeof path, "%s/.config/memtop/wrappers", home);
    /* Where it may not even be looked for, as in another user's home, there is none either. */
    if (length <= 0 || (size_t)length >= sizeof path || access(path, F_OK) != 0)
        return;
    if (!wrappers_read(path, error))
        cli_error("%s", error);
}

void cli_targets(const char *message, const struct targets *matches)
{
    cli_error("%s", message);
    for (size_t i = 0; i < matches->count; i++)
        fprintf(stderr, "%7d %s\n", (int)matches->target[i].pid,
                matches->target[i].cmdline[0] ? matches->target[i].cmdline
                                              : matches->target[i].name);
}

int cli_live_target(const char *name, struct target *target)
{
    struct targets matches;
    char message[TARGET_MESSAGE_SIZE];
    int status = target_resolve(name, target, message, &matches);
    if (status != 0)
        cli_targets(message, &matches);
    targets_fini(&matches);
    if (status != 0 || target->state == TARGET_LIVE)
        return status;
    cli_error("%d %s %s: nothing can be asked of it; memtop heap %s still works", (int)target->pid,
              target->name,
              target->state == TARGET_UNSEEN ? "lives in another PID namespace"
              : target->successor[0]         ? "has ended by exec"
                                             : "is dead",
              name);
    return EXIT_FAILED;
}

struct ask_wait cli_wait(const struct options *options, double seconds)
{
    double given = options->view.interval_seconds;
    return options->interval_given ? (struct ask_wait){given, given}
                                   : (struct ask_wait){seconds, IDLE_SECONDS};
}

void cli_pending(const struct options *options, const struct target *target, const char *what)
{
    if (options->json) {
        json_t *object = json_object();
        json_object_set_new(object, "version", json_integer(NDJSON_VERSION));
        json_object_set_new(object, "type", json_string("pending"));
        json_object_set_new(object, "pid", json_integer(target->pid));
        json_object_set_new(object, "name", ndjson_string(target->name));
        json_object_set_new(object, "asked", json_string(what));
        ndjson_line(stdout, object);
        return;
    }
    printf("%d %s: %s pending: read at its next 64 KiB, allocated or freed by one of its threads\n",
           (int)target->pid, target->name, what);
}

bool cli_batch(const struct options *options)
{
    return options->batch || options->json || options->csv || !isatty(STDOUT_FILENO) ||
           !term_can_draw();
}

/* What standard output is, for messages. */
static const char *output = "standard output";

bool cli_output(const struct options *options)
{
    if (!options->output)
        return true;
    int fd = open(options->output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool good = fd >= 0 && dup2(fd, STDOUT_FILENO) >= 0;
    if (!good)
        cli_error("%s: %s", options->output, strerror(errno));
    if (fd >= 0)
        close(fd);
    output = options->output;
    return good;
}

int cli_flush(void)
{
    static bool said;
    errno = 0;
    bool good = fflush(stdout) == 0 && !ferror(stdout);
    int error = errno;
    if (good)
        return EXIT_DONE;
    /* The error may be of an earlier write, whose errno is lost.  poll then still shows a pipe
     * without a reader. */
    struct pollfd out = {STDOUT_FILENO, POLLOUT, 0};
    if (error == EPIPE || (poll(&out, 1, 0) > 0 && (out.revents & POLLERR)))
        return -1;
    if (!said)
        cli_error("%s: %s", output, error ? strerror(error) : "it could not be written");
    said = true;
    return EXIT_FAILED;
}
