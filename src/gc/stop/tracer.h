/* The thread that stops the world.  It has nothing else to do, so that it can have an empty
 * descriptor table of its own: whatever it opens takes no number from the program, whatever the
 * program closes is not ours, and the snapshot child inherits nothing to hold open.
 *
 * A pthread, so that setuid() of the program reaches it: signals 32 and 33 are open on it, but for
 * the time of a stop, and no other ever is.  Its stack is mapped by us, recorded as ours and
 * prefaulted.  Started at the first call; after fork again when needed. */
#ifndef GC_STOP_TRACER_H
#define GC_STOP_TRACER_H

#include <stddef.h>

/* Runs `fn` on the tracer thread and waits for it, as long as it takes: `ctx` is the caller's, and
 * what a cycle does there has limits of its own.  NULL: done; else why there is no such thread. One
 * call at a time. */
const char *tracer_run(void (*fn)(void *ctx), void *ctx);
/* On the tracer thread: its stack, as pthread_create was given it. */
const void *tracer_stack(size_t *size);
/* Ends the thread, if there is one, and returns when it is gone. */
void tracer_end(void);
/* In a forked copy: there is no such thread any more. */
void tracer_postfork_child(void);

#endif
