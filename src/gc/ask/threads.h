/* What each thread of the program's does: its stack, the system call that it is in; and which of
 * them nobody that is seen can wake.
 *
 * Those that wait for a futex without a time (a lock, a condition, a thread's end) are left out of
 * the roots at first.  Whoever waits for one that is reached without them may be woken by somebody:
 * then the mark goes on from its stack too, and so on.  Whoever is left waits for something that
 * only such threads can reach.  It is a conservative look as any mark: what lies in a module's data
 * or in memory shared with others is reached. */
#ifndef GC_ASK_THREADS_H
#define GC_ASK_THREADS_H

#include "gc/ask/ask.h"

/* On the tracer thread, before the stop: notes which system calls threads are in, as a stop ends
 * some of them.  NULL, or why not. */
const char *threads_prepare(void);
/* ask_fn */
const char *threads_answer(const struct ask *ask);

#endif
