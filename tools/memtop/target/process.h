/* What the kernel says of a process.  Only this file of memtop reads texts of /proc/PID, but for
 * smaps (view/rss.h); others open its executable and descriptors, and files below its root. Nothing
 * here touches the process itself; a call is one or two reads of procfs.  One thread: proc_user
 * asks getpwuid. */
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
    long threads;         /* state Z with more than one: the main thread has ended, others run */
    uint64_t flags;       /* PF_*: kernel threads have PF_KTHREAD */
    uint64_t start_ticks; /* field 22: with the pid it identifies a process for ever */
    uint64_t rss_bytes;   /* resident; 0: not known, as of one whose main thread has ended */
};

/* 0 or an errno value; ENOENT: no such process. */
int proc_stat(pid_t pid, struct proc_stat *stat);
/* Whether there is such a process that /proc does not show (mounted with hidepid): another user's.
 */
bool proc_is_hidden(pid_t pid);
/* Whether no thread of it runs any more. */
bool proc_ended(const struct proc_stat *stat);
/* Whether its main thread is ending; the process ends with it if it has no other. */
bool proc_exiting(const struct proc_stat *stat);
/* Whether its main thread is stopped, by a signal or a debugger. */
bool proc_stopped(const struct proc_stat *stat);
bool proc_is_kernel(const struct proc_stat *stat);
/* The real user, or -1. */
uid_t proc_uid(pid_t pid);
/* Resident bytes; false if the process is gone. */
bool proc_rss(pid_t pid, uint64_t *bytes);
/* The directory of /proc whose files describe its memory: that of another thread once the main
 * thread has ended. */
void proc_memory_directory(pid_t pid, char *path, size_t size);
/* A thread of it that is under seccomp; 0: none is; -1: /proc does not say. */
pid_t proc_confined(pid_t pid);
/* Arguments separated by blanks, or the title that the process has written over them, cleaned
 * (plain_text.h).  False: it has none (a kernel thread, a process that ends); `buffer` is
 * unchanged. */
bool proc_cmdline(pid_t pid, char *buffer, size_t size);
/* The same as the kernel has it: arguments with a NUL behind each, cut to `size`; how many bytes, 0
 * if there are none. */
size_t proc_arguments(pid_t pid, char *buffer, size_t size);
/* A variable of the environment that the process was started with, cut to `size`.  False: it is not
 * set, or not readable. */
bool proc_environ(pid_t pid, const char *name, char *buffer, size_t size);
/* Whether that environment can be read and is not overwritten, as titles do. */
bool proc_environ_is_whole(pid_t pid);
/* Whether it is in another mount namespace than ours or in a chroot: paths mean something else. */
bool proc_other_root(pid_t pid);
/* Whether this is the process that says that it started at `start_ticks`.  True if it did not know
 * (0), and if it is in another time namespace, which counts otherwise. */
bool proc_started_at(pid_t pid, const struct proc_stat *stat, uint64_t start_ticks);
/* Its number in its own PID namespace; 0: not known. */
pid_t proc_own_pid(pid_t pid);

/* What memdebug has mapped in a process.  Of several segments it is the first that has a name: one
 * that was replaced has none any more. */
struct proc_maps {
    bool readable;       /* else all else is false and 0 */
    bool library;        /* libmemdebug.so is mapped, its code too */
    bool segment;        /* a segment is mapped: */
    uint64_t start, end; /* its first mapping */
    dev_t dev;
    ino_t ino;
    bool deleted;   /* the file has no name any more, or never had one (memfd) */
    char path[512]; /* as the process sees it */
};
void proc_maps(pid_t pid, struct proc_maps *maps);

/* Calls `each` for every range of its address space, by address.  False: they cannot be read, or
 * the process has ended. */
bool proc_ranges(pid_t pid, void (*each)(void *closure, uint64_t start, uint64_t limit),
                 void *closure);

/* All pids, ascending, in *pids, for the caller to free; how many. */
size_t proc_pids(pid_t **pids);

/* The name of a uid, or its number. */
void proc_user(uid_t uid, char *buffer, size_t size);

#endif
