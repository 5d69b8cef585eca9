/* What the kernel says of a process's threads, without disturbing them: /proc/PID/task.
 *
 * Which system call a thread is in, and with which arguments, the kernel tells only to who may
 * trace the process (ptrace): root, or where Yama allows it. */
#ifndef MEMTOP_THREADS_H
#define MEMTOP_THREADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct proc_thread {
    pid_t tid, own_tid; /* seen from here, and in its own PID namespace */
    char name[32];      /* cleaned (plain_text.h) */
    char state; /* R runs, S sleeps, D sleeps uninterruptibly, T stopped, t traced, Z gone */
    int call;   /* number of the system call that it is in; -1: in none, or not known */
    uint64_t args[6];
    int64_t ran_ns; /* CLOCK_MONOTONIC: when it was last on a CPU; -1: not known.  To some ms; what
                       the host of a virtual machine has taken since makes it later */
};

/* All threads of it but those named as memdebug's own, as /proc lists them; the caller frees
 * *threads.  How many; 0: there is no such process, or no memory. */
size_t proc_threads(pid_t pid, struct proc_thread **threads);
/* Where a descriptor of the process leads, cleaned; false: that is not to be seen. */
bool proc_descriptor(pid_t pid, uint64_t descriptor, char *text, size_t size);

#endif
