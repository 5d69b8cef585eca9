/* Starts a program with libmemdebug.so preloaded: finds the library, looks whether the loader will
 * take it, makes the environment, forks.  Errors are one line in `error`.  One thread. */
#ifndef MEMTOP_LAUNCH_H
#define MEMTOP_LAUNCH_H

#include "view/snapshot.h"

#include <limits.h>
#include <signal.h>

struct launch {
    char library[PATH_MAX];
    char program[PATH_MAX];
    char warning[VIEW_ERROR_SIZE]; /* why it will run but have nothing to show; "": none */
    char *const *arguments;        /* borrowed; the program and its arguments, NULL-terminated */
    const char *const *settings;   /* borrowed; items for MEMDEBUG, put behind what it has */
    size_t setting_count;
    int status; /* what memtop exits with if launch_start failed */
};

/* The path of the library that memtop runs programs on, as LD_PRELOAD can name it.  False with one
 * line. */
bool launch_library(char path[PATH_MAX], char error[VIEW_ERROR_SIZE]);
/* The file that the loader loads when a program is run, named by path or as execvp finds it: of a
 * script its interpreter.  False: it is not found. */
bool launch_file(const char *name, char file[PATH_MAX]);

/* Call it with the borrowed fields set.  0, or memtop's exit status (127: not found, 126: not
 * executable, 1: refused) with one line. */
int launch_prepare(struct launch *launch, char error[VIEW_ERROR_SIZE]);
/* A file that the program's output goes to; its input is then empty. */
struct launch_log {
    const char *path;
    bool may_exist; /* the user has given the name */
};
/* Forks and execs with the signal mask `mask`; returns once exec has been done.  `log` NULL: input
 * and output are memtop's own.  The pid, or -1 with one line. */
pid_t launch_start(struct launch *launch, const sigset_t *mask, const struct launch_log *log,
                   char error[VIEW_ERROR_SIZE]);

#endif
