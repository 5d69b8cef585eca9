/* The tracing layer in observe mode: one cycle stops the world, takes a snapshot, resumes, marks
 * what is reachable from registers, stacks, TLS, modules' data and other private memory, and tells
 * what is not.  It frees nothing and writes nothing into the program.
 *
 * Runs on the library's own thread; needs the object map. */
#ifndef GC_GC_H
#define GC_GC_H

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stdint.h>

/* What the rest of the library gives the tracing layer; set once by memdebug.c. */
struct gc_hooks {
    /* bytes in use now, of the counters: the pacer's input */
    uint64_t (*in_use_bytes)(void);
    /* a cycle or skip is complete: print it */
    void (*on_cycle)(const struct md_cycle *cycle);
};

/* Once, before the first cycle.  Starts nothing. */
void gc_init(const struct gc_hooks *hooks);
/* In a forked copy: forgets the parent's cycle in flight and history. */
void gc_renew(void);

/* Runs one cycle with these MD_CYCLE_* flags, or skips it with a reason; fills `out`, which has
 * been put into the segment's ring.  True: done.  Only on a thread of ours, one at a time. */
bool gc_cycle(uint32_t flags, struct md_cycle *out);

/* Whether a cycle is due now, and if not, when to look again at the latest (CLOCK_MONOTONIC ns).
 * Also publishes the goal. */
bool gc_due(int64_t now_ns, uint32_t *flags, int64_t *look_again_ns);
/* Bytes in use at which the next cycle is due; UINT64_MAX: never by growth. */
uint64_t gc_goal_bytes(void);

#endif
