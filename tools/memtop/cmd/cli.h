/* What the commands share: the command line as it was read, messages, the end of output. */
#ifndef MEMTOP_CLI_H
#define MEMTOP_CLI_H

#include "target/ask.h"
#include "ui/view_state.h"
#include "view/leaks.h"

#include <stdbool.h>
#include <stddef.h>

enum exit_status { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_CONDITION = 3 };

#define CLI_LIST_MAX 64

struct options {
    struct view_options view;
    bool interval_given; /* -d */
    long count;          /* -n; 0: no end */
    bool batch, json, csv, schema, history, all, allocs, live, leaks, no_cycle, install;
    const char *output;                 /* -o */
    const char *settings[CLI_LIST_MAX]; /* -e of run: key=value for MEMDEBUG */
    size_t setting_count;
    const char *excludes[CLI_LIST_MAX]; /* --exclude of leaks */
    size_t exclude_count;
    double since_seconds; /* --since; 0: not given */
    const char *diff;     /* --diff */
    const char *suppressions;
    enum leaks_by by;
    int leak_status;                                      /* --exit-code; 0: not given */
    const char *listen, *token_file, *tls_cert, *tls_key; /* of serve */
    const char *allow_hosts[CLI_LIST_MAX];                /* --allow-host of serve */
    size_t allow_host_count;
    bool allow_actions;
    double speed;                         /* --speed; 0: not given; INFINITY: max */
    bool by_given;                        /* --by */
    const char *conditions[CLI_LIST_MAX]; /* --fail-if */
    size_t condition_count;
    char **arguments; /* what is no option; of run the program and its arguments */
    size_t argument_count;
    const char
        *slip_of; /* the command that the first of them may be a typing slip of; NULL: none */
};

/* "memtop: …" as one line on stderr, cleaned (plain_text.h). */
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* If there will be no names of functions, says so on stderr, once. */
void cli_missing_names(void);
/* Takes in the user's list of wrappers (view/wrappers.h), $XDG_CONFIG_HOME/memtop/wrappers or
 * ~/.config/memtop/wrappers, if there is one; what is wrong with it is said on stderr.  Once,
 * before other threads run. */
void cli_wrappers(void);
/* target_resolve's message on stderr, and below it the processes that an ambiguous name means. */
struct targets;
void cli_targets(const char *message, const struct targets *matches);
/* Finds the process that is to be asked for something.  0, or the exit status; then it has been
 * said why. */
struct target;
int cli_live_target(const char *name, struct target *target);
/* How long to wait for what was asked: as long as -d says, else `seconds` for a thread of ours, and
 * 2 s where there is none. */
struct ask_wait cli_wait(const struct options *options, double seconds);
/* That it has not been read yet is no failure.  Prints that: what was asked in one word. */
void cli_pending(const struct options *options, const struct target *target, const char *what);
/* Flushes standard output.  EXIT_DONE; EXIT_FAILED, said on stderr: it could not be written; -1:
 * its reader has gone, which is no error and the end of the work. */
int cli_flush(void);
/* Whether to write text: that was asked for, or standard output is no terminal that can be drawn
 * on. */
bool cli_batch(const struct options *options);
/* Makes -o's file, if one is given, standard output.  False: it could not; said on stderr. */
bool cli_output(const struct options *options);

#endif
