/* Lets a system call that the stop signal has interrupted go on as if nothing had happened.  The
 * kernel restarts most calls by itself (SA_RESTART), but not those that wait for a time: sleep() of
 * an unmodified program would end early with each cycle.
 *
 *  - Sleeps, poll and futex waits with a time: the kernel keeps what is left of them until the
 *    handler returns, so they are finished inside the handler, by restart_syscall(2) under the
 *    program's own signal mask.  A signal of the program's interrupts them as always.
 *  - clock_nanosleep until a time: the thread is set back onto the call, unless a signal of the
 *    program's is already pending.
 *
 * Waits for events (epoll, select, ppoll), for signals, and socket calls with a time-out are left
 * alone: they return EINTR, as after any handler (signal(7)).  Setting a thread back onto them
 * would now and then swallow an EINTR that the program's own handler had just caused, and a wait
 * that was meant to end would not.
 *
 * The call's number is read from the program's code in front of it; where that is unclear the call
 * returns EINTR, as signal(7) allows.
 *
 * Called in the stop handler, on the program's threads. */
#ifndef GC_RESTART_H
#define GC_RESTART_H

#include <ucontext.h>

/* With all signals blocked, when the thread is about to go on.  May not return: a stop that comes
 * while an earlier one's sleep is being finished goes back to that one's, so that stops do not pile
 * up frames on the thread's stack. */
void restart_call(ucontext_t *context);

#endif
