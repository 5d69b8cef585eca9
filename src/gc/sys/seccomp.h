/* Whether a cycle may begin, where a seccomp filter may end the program for a system call of ours.
 *
 * A filter that came after load was made without us in mind: while there is one on any thread, no
 * cycle.  Under one that was there before (a service manager's, a container's), what a cycle needs
 * is tried once in a throw-away copy of the process, which dies of it in the program's stead. */
#ifndef GC_SYS_SECCOMP_H
#define GC_SYS_SECCOMP_H

#include <stdbool.h>

/* At load. */
void seccomp_init(void);
/* On the thread that calls gc_cycle, before the tracer thread is started.  NULL, or why that must
 * not be.  Makes its trial once. */
const char *seccomp_trial(void);
/* Whether a marker may lower its priority and limit its CPU time: a filter may kill it for that.
 * Written by the trial only. */
extern bool seccomp_allows_resources;
/* Whether a parked thread may wait by futex_waitv: not where a filter kills for it, nor under one
 * that came after load, which might.  Written by seccomp_cycle; stop handlers read it (atomic). */
extern bool seccomp_allows_waitv;
/* On the tracer thread, before each cycle.  NULL, or why there can be none. */
const char *seccomp_cycle(void);

#endif
