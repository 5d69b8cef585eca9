/* Starting a program with libmemdebug.so preloaded: finds the library, looks whether the loader
 * will take it, makes the environment, forks. */
#ifndef MEMTOP_LAUNCH_H
#define MEMTOP_LAUNCH_H

#include "cmd/cli.h"
#include "view/snapshot.h"

#include <limits.h>
#include <signal.h>

struct launch {
    char library[PATH_MAX];
    char program[PATH_MAX];
    char warning[VIEW_ERROR_SIZE]; /* it runs, but will have nothing to show; "" none */
    char **arguments;              /* borrowed, NULL-terminated */
    const struct options *options; /* borrowed */
    int status;                    /* memtop's own, if launch_start failed */
};

/* The library that memtop runs programs on, as LD_PRELOAD can name it; false with
 * one line. */
bool launch_library(char path[PATH_MAX], char error[VIEW_ERROR_SIZE]);
/* What the loader gets to see when a program is run, by path or found as execvp finds it: of a
 * script what its first line names.  False: it is not to be found. */
bool launch_file(const char *name, char file[PATH_MAX]);

/* 0, or memtop's exit status (127 not found, 126 not executable, 1 refused) and one line. */
int launch_prepare(struct launch *launch, const struct options *options,
                   char error[VIEW_ERROR_SIZE]);
/* Forks and execs with the signal mask `mask`; `log`: its output goes there, its input is empty.
 * -1 with one line. */
pid_t launch_start(struct launch *launch, const sigset_t *mask, const char *log,
                   char error[VIEW_ERROR_SIZE]);
#endif
