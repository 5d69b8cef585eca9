/* Lets a system call that the stop signal has interrupted go on as if nothing had happened.  The
 * kernel restarts most calls by itself (SA_RESTART), but not those that wait for a time: sleep() of
 * an unmodified program would end early with each cycle.
 *
 *  - Sleeps, poll and futex waits with a time: the kernel keeps what is left of them until the
 *    handler returns, so they are finished inside the handler, by restart_syscall(2) under the
 *    program's own signal mask.  A signal of the program's interrupts them as always.
 *  - Waits without a time (epoll, sigwaitinfo, pause, semop, msgrcv), until a time
 *    (clock_nanosleep), or whose rest the kernel writes back (select, ppoll): the thread is set
 * back onto the call, unless a signal of the program's is already pending.  One that comes between
 *    that look and the call, a fraction of a microsecond, finds the thread in front of the call
 *    instead of in it, as it may at any time: without a mask of its own (ppoll, pselect,
 *    epoll_pwait, sigsuspend), no program can tell that it was in it already.
 *
 * Waits whose time begins anew with the call, and of which nobody knows how much has passed, are
 * left alone: epoll_wait, sigtimedwait, semtimedop and io_getevents with a time, and socket calls
 * with a time-out.  They return EINTR, as after any handler (signal(7)).  gcstop=quiet does not
 * signal threads that sit in them (world.h).
 *
 * The call's number is read from the program's code in front of it; where that is unclear the call
 * returns EINTR, as signal(7) allows.
 *
 * Called in the stop handler, on the program's threads. */
#ifndef GC_RESTART_H
#define GC_RESTART_H

#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

/* With all signals blocked, when the thread is about to go on.  May not return: a stop that comes
 * while an earlier one's sleep is being finished goes back to that one's, so that stops do not pile
 * up frames on the thread's stack. */
void restart_call(ucontext_t *context);

/* Whether a call that sleeps, with these six arguments, would go on as if nothing had happened.
 * `code`: the RESTART_CODE bytes up to where it returns to. */
#define RESTART_CODE 18
bool restart_is_exact(int number, const uint64_t *args, const uint8_t *code);

#endif
