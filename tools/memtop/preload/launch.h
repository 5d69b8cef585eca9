/* Starting a program with libmemdebug.so preloaded: finds the library, looks whether the loader
 * will take it, makes the environment, forks. */
#ifndef MEMTOP_LAUNCH_H
#define MEMTOP_LAUNCH_H

#include "view/snapshot.h"

#include <limits.h>
#include <signal.h>

struct launch {
    char library[PATH_MAX];
    char program[PATH_MAX];
    char warning[VIEW_ERROR_SIZE]; /* it runs, but will have nothing to show; "" none */
    char *const *arguments;        /* borrowed, NULL-terminated */
    const char *const *settings;   /* borrowed: items of MEMDEBUG, behind what it has of them */
    size_t setting_count;
    int status; /* memtop's own, if launch_start failed */
};

/* The library that memtop runs programs on, as LD_PRELOAD can name it; false with
 * one line. */
bool launch_library(char path[PATH_MAX], char error[VIEW_ERROR_SIZE]);
/* What the loader gets to see when a program is run, by path or found as execvp finds it: of a
 * script what its first line names.  False: it is not to be found. */
bool launch_file(const char *name, char file[PATH_MAX]);

/* With the borrowed fields set: 0, or memtop's exit status (127 not found, 126 not executable, 1
 * refused) and one line. */
int launch_prepare(struct launch *launch, char error[VIEW_ERROR_SIZE]);
/* Where a program's output goes, its input being empty. */
struct launch_log {
    const char *path;
    bool may_exist; /* the user has given the name */
};
/* Forks and execs with the signal mask `mask`.  `log` NULL: input and output are memtop's own.  -1
 * with one line. */
pid_t launch_start(struct launch *launch, const sigset_t *mask, const struct launch_log *log,
                   char error[VIEW_ERROR_SIZE]);

#endif
