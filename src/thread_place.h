/* Whether a thread may be started where the calling thread stands: inside an allocation, of which
 * nothing is known but what the stack shows and the kernel tells.
 *
 * pthread_create takes locks of libc's and the loader's, and its thread gets from the calling one
 * what that has.  So it is no place
 *   - below the loader, or below libc but for what begins a stack: a thread that creates another,
 *     that ends or is joined, and its memory is given back with libc's list of stacks locked; a
 *     library that is opened, closed or initialised; fork, exit, their handlers; a thread's own
 *     destructors;
 *   - in a signal handler, whose stack goes on in what it has interrupted: that may be any of
 * these;
 *   - in a child of vfork, which would get a thread that runs in its parent's memory;
 *   - where all signals are blocked, as whoever does so is about something that must not be seen.
 * A stack that cannot be followed to its beginning (code without unwind information, a coroutine)
 * is one where none of that is seen and no handler can be running, going by the signals that are
 * blocked: as long as one runs its own is, and all that it was installed to block.
 */
#ifndef THREAD_PLACE_H
#define THREAD_PLACE_H

#include <stdbool.h>

/* Costs some 50 us.  Changes nothing, keeps errno. */
bool thread_place_here(void);
/* 0, or why the calling thread must never start one, an errno value.  EACCES: what it would hand
 * down is a seccomp filter, made without us in mind, that may end the program; or nobody can tell,
 * as its /proc cannot be read.  One caller at a time; not a cancellation point. */
int thread_place_refused(void);

/* Whether the calling thread is the only one of the program: ours are no others.  False where that
 * cannot be seen.  Not a cancellation point. */
bool thread_place_alone(void);

#endif
