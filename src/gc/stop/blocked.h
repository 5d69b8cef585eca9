/* Where a task sits that is asleep in a system call, or stopped: what /proc says of it, so that it
 * can count as parked without being signalled, as long as it has not moved. */
#ifndef GC_STOP_BLOCKED_H
#define GC_STOP_BLOCKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blocked_call {
    int number; /* of the system call; -1: stopped outside one */
    uint64_t args[6];
    uintptr_t sp, pc;     /* 0: a kernel thread's, never in user space */
    uint64_t fingerprint; /* of all that and of how often it has run: equal if it has not moved */
};

/* On the tracer thread, after proc_open; and when its descriptors are gone. */
void blocked_open(void);
void blocked_close(void);
/* False if the task may run, or is gone. */
bool blocked_call_of(int tid, struct blocked_call *call);
/* Copies program memory, as the kernel sees it: it may be gone, or not be readable.  False: not all
 * of it. */
bool blocked_read(uintptr_t at, void *to, size_t size);

#endif
