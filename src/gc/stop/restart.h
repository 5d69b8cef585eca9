/* Lets a system call that the stop signal has interrupted go on as if nothing had happened.  The
 * kernel restarts most calls by itself (SA_RESTART), but not those that wait for a time: sleep() of
 * an unmodified program would end early with each cycle.
 *
 *  - Sleeps, poll and futex waits with a time: the kernel keeps what is left of them until the
 *    handler returns, so they are finished inside the handler, by restart_syscall(2) under the
 *    program's own signal mask.  A signal of the program's interrupts them as always.
 *  - Waits without a time (epoll, sigwaitinfo, pause, semop, msgrcv), until a time
 *    (clock_nanosleep), or whose rest the kernel writes back (select, ppoll): the thread is set
 *    back onto the call, unless a signal of the program's is already pending.  A signal may come
 *    between that look and the call, a fraction of a microsecond.  It finds the thread in front of
 *    the call instead of in it, as it may at any time: unless the call has a mask of its own
 *    (ppoll, pselect, epoll_pwait, sigsuspend), no program can tell that it was in it already.
 *
 * Waits whose time begins anew with the call, and of which nobody knows how much has passed, are
 * left alone: epoll_wait, sigtimedwait, semtimedop and io_getevents with a time, and socket calls
 * with a time-out.  They return EINTR, as after any handler (signal(7)).  gcstop=quiet does not
 * signal threads that sit in them (world.h).
 *
 * The kernel keeps what is left for one call at a time, until a handler returns.  So a thread is
 * parked in a call of which nothing is kept (world.c).  And where a SIGSTOP or a debugger has
 * interrupted a call, which the kernel would finish by itself, that is done here instead.
 *
 * The call's number is read from the program's code in front of it, from a register or from the
 * stack.  What can be read depends on the libc, and is tried at the start on the one that runs
 * (restart_probe.h).  A call of which it cannot be read returns EINTR, as signal(7) allows.  So
 * until it is known that all of libc's can be read, each thread is looked at before it is
 * interrupted, and left alone where it sits in such a call (world.h).
 */
#ifndef GC_STOP_RESTART_H
#define GC_STOP_RESTART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <ucontext.h>

/* In the stop handler, on the program's threads.  With all signals blocked, when the thread is
 * about to go on.  May not return: a stop that comes while an earlier one's sleep is being finished
 * goes back to that one's, so that stops do not pile up frames on the thread's stack. */
void restart_call(ucontext_t *context);

/* Where the program's own code is that the handler, given `context`, has interrupted: in that, or
 * in the one of an earlier stop whose sleep is being finished. */
const ucontext_t *restart_context(const ucontext_t *context);

/* FUTEX_WAIT in memory that may be shared: where a thread of the program waits for us, it does so
 * in a call that goes on after a stop, whatever the libc, and so is seen in it.  Returns 0 or
 * -errno. */
long restart_futex_wait(uint32_t *word, uint32_t value, const struct timespec *timeout);

/* What becomes of a call that sleeps, if it is interrupted. */
enum restart_fate {
    RESTART_GOES_ON, /* as if nothing had happened */
    RESTART_ENDS,    /* returns EINTR, or may: see above */
    RESTART_UNREAD   /* returns EINTR, because its number cannot be read */
};
/* Copies memory of this process; false: not all of it. */
typedef bool restart_read(uintptr_t at, void *to, size_t size);
/* Of the call `number` with these six arguments that returns to `pc`, the stack pointer being `sp`.
 */
enum restart_fate restart_fate(int number, const uint64_t *args, uintptr_t pc, uintptr_t sp,
                               restart_read *read);

#endif
