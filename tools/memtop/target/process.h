/* What the kernel says of a process: the only file of memtop that reads texts of /proc/PID; others
 * open its executable, or files below its root.  Nothing here touches the process itself; each call
 * is one or two reads of procfs. */
#ifndef MEMTOP_PROCESS_H
#define MEMTOP_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct proc_stat {
    char comm[32];
    char state;
    pid_t parent;
    long threads;         /* a process whose main thread has left is state Z, yet runs */
    uint64_t flags;       /* PF_*: kernel threads have PF_KTHREAD */
    uint64_t start_ticks; /* field 22: with the pid it names a process for good */
};

/* 0 or an errno value; ENOENT: no such process. */
int proc_stat(pid_t pid, struct proc_stat *stat);
/* There is such a process, but /proc does not show it (mounted with hidepid): it is another user's.
 */
bool proc_is_hidden(pid_t pid);
/* Nothing of it runs any more. */
bool proc_ended(const struct proc_stat *stat);
/* Its main thread is on its way out: of a process, if that has no other. */
bool proc_exiting(const struct proc_stat *stat);
/* Its main thread was stopped, by a signal or a debugger. */
bool proc_stopped(const struct proc_stat *stat);
bool proc_is_kernel(const struct proc_stat *stat);
/* The real user, or -1. */
uid_t proc_uid(pid_t pid);
/* Resident bytes; false if the process is gone. */
bool proc_rss(pid_t pid, uint64_t *bytes);
/* Arguments separated by blanks, or the title that the process has written over them, made safe for
 * a terminal.  False: it has none (a kernel thread, a process that ends), and `buffer` is as it
 * was.
 */
bool proc_cmdline(pid_t pid, char *buffer, size_t size);
/* A variable of the environment the process was started with; false: not set or not readable. */
bool proc_environ(pid_t pid, const char *name, char *buffer, size_t size);
/* Whether that environment can be read, and has not been written over: a program that shows a title
 * in its place does that. */
bool proc_environ_is_whole(pid_t pid);
/* In another mount namespace than ours, so that paths mean something else there. */
bool proc_other_root(pid_t pid);
/* Whether that is the process that tells of itself that it started at `start_ticks` (0: it could
 * not tell; then, and where its time namespace counts otherwise than ours, it is taken for it). */
bool proc_started_at(pid_t pid, const struct proc_stat *stat, uint64_t start_ticks);
/* Its number in its own pid namespace; 0: not known. */
pid_t proc_own_pid(pid_t pid);

/* Of several segments the first that has a name: what was there before it was made anew has none.
 */
struct proc_maps {
    bool readable;
    bool library;        /* libmemdebug.so is mapped, its code too */
    bool segment;        /* and a segment: */
    uint64_t start, end; /* of its first mapping */
    dev_t dev;
    ino_t ino;
    bool deleted;   /* it has no name any more, or never had one (memfd) */
    char path[512]; /* as the process sees it */
};
void proc_maps(pid_t pid, struct proc_maps *maps);

/* Each range of its address space, by address.  False: they cannot be read, or the process has
 * ended. */
bool proc_ranges(pid_t pid, void (*each)(void *closure, uint64_t start, uint64_t limit),
                 void *closure);

/* Every pid, ascending; malloc'ed. */
size_t proc_pids(pid_t **pids);

/* The name of a uid, or its number. */
void proc_user(uid_t uid, char *buffer, size_t size);

#endif
