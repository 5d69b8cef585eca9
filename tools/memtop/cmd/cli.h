/* The command line: one list of commands, one of options, read into one struct. */
#ifndef MEMTOP_CLI_H
#define MEMTOP_CLI_H

#include "ui/screen.h"
#include "view/leaks.h"

#include <stdbool.h>
#include <stddef.h>

enum exit_status { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct options {
    double interval_seconds; /* -d */
    bool interval_given;
    long count; /* -n; 0: no end */
    bool batch, json, all, allocs, color, live, leaks, no_cycle, install;
    enum charset charset;
    const char *output;       /* -o */
    const char *settings[64]; /* -e of run: key=value for MEMDEBUG */
    size_t setting_count;
    const char *excludes[64]; /* --exclude of leaks */
    size_t exclude_count;
    double since_seconds; /* --since; 0: not given */
    const char *diff;     /* --diff, --suppressions */
    const char *suppressions;
    enum leaks_by by;
    int leak_status;  /* --exit-code */
    char **arguments; /* what is not an option; of run: the program and its arguments */
    size_t argument_count;
};

struct command {
    const char *name;
    int (*run)(const struct options *options); /* NULL: not in this version */
    size_t least, most;                        /* arguments */
    const char *accepts; /* option letters beside -h and -V; J json, A all, L allocs, C charset and
                            color, V live, K leaks, I install, Q what is told of leaks */
    const char *usage;
};

extern const struct command commands[];
extern const size_t command_count;

/* Reads the command line and runs the command. */
int cli_main(int argc, char **argv);

/* "memtop: ..." as one line on stderr. */
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Where names of functions cannot be had, says so, once. */
void cli_missing_names(void);
/* The message of target_resolve; an ambiguous name's processes below it. */
struct targets;
void cli_targets(const char *message, const struct targets *matches);
/* The command that `word` may be a slip of; NULL: none. */
const char *cli_nearest_command(const char *word);
/* Flushes standard output.  EXIT_DONE; -1: its reader has gone, which is no fault of anyone's and
 * the end of the work; EXIT_FAILED, said on stderr: it could not be written. */
int cli_flush(void);
/* Batch mode: asked for, or standard output is no terminal, or none that can be drawn on. */
bool cli_batch(const struct options *options);

int command_list(const struct options *options); /* no argument */
int command_watch(const struct options *options);
int command_ps(const struct options *options);
int command_tail(const struct options *options);
int command_heap(const struct options *options);
int command_gc(const struct options *options);
int command_leaks(const struct options *options);
int command_unit(const struct options *options);
int command_container(const struct options *options);
int command_run(const struct options *options);

#endif
