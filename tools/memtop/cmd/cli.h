/* What the commands share: the command line as it was read, complaints, the end of output. */
#ifndef MEMTOP_CLI_H
#define MEMTOP_CLI_H

#include "ui/view_state.h"
#include "view/leaks.h"

#include <stdbool.h>
#include <stddef.h>

enum exit_status { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

#define CLI_LIST_MAX 64

struct options {
    struct view_options view;
    bool interval_given; /* -d */
    long count;          /* -n; 0: no end */
    bool batch, json, all, allocs, live, leaks, no_cycle, install;
    const char *output;                 /* -o */
    const char *settings[CLI_LIST_MAX]; /* -e of run: key=value for MEMDEBUG */
    size_t setting_count;
    const char *excludes[CLI_LIST_MAX]; /* --exclude of leaks */
    size_t exclude_count;
    double since_seconds; /* --since; 0: not given */
    const char *diff;     /* --diff, --suppressions */
    const char *suppressions;
    enum leaks_by by;
    int leak_status;  /* --exit-code */
    char **arguments; /* what is not an option; of run: the program and its arguments */
    size_t argument_count;
    const char *slip_of; /* the command that the first of them may be a slip of; NULL: none */
};

/* "memtop: ..." as one line on stderr. */
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Where names of functions cannot be had, says so, once. */
void cli_missing_names(void);
/* The message of target_resolve; an ambiguous name's processes below it. */
struct targets;
void cli_targets(const char *message, const struct targets *matches);
/* Flushes standard output.  EXIT_DONE; -1: its reader has gone, which is no fault of anyone's and
 * the end of the work; EXIT_FAILED, said on stderr: it could not be written. */
int cli_flush(void);
/* Batch mode: asked for, or standard output is no terminal, or none that can be drawn on. */
bool cli_batch(const struct options *options);
/* Has -o's file, if one is given, take standard output's place.  False: it has been said why not.
 */
bool cli_output(const struct options *options);

#endif
