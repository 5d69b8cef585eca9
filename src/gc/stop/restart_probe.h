/* Tries whether restart.h can read the calls of the libc that runs: each kind that it would make go
 * on is made once in a copy of the process, by libc's own function, and interrupted there.
 *
 * A kind that a filter refuses or kills for ends at most its copy: the program cannot make that
 * call either, so nothing is wanted of it.  Not tried are waits for objects of the whole system
 * (msgrcv, semop), which libc makes as it makes the others.
 *
 * Each machine's own; where the kernel leaves the number in a register, there is nothing to try. */
#ifndef GC_STOP_RESTART_PROBE_H
#define GC_STOP_RESTART_PROBE_H

#include <stdbool.h>

/* Whether all of libc's calls that were made in the copies could be read.  False until it has been
 * found out.  Written by restart_probe alone, before the first stop. */
extern bool restart_proved;

/* Begins with it, or looks how far it is; once in a process and what is forked from it, early, as
 * copies of a small process cost little.  Waits for nobody.  True: there is nothing more to be
 * found out, mostly after 5 ms, at the latest 10 s after a copy was made.  On a thread of ours, so
 * that the process has more than one, with all signals blocked; where no filter kills for making a
 * copy, or for waiting for it (seccomp.h). */
bool restart_probe(void);
/* In a forked copy: what is under way is the parent's. */
void restart_probe_postfork_child(void);

#endif
