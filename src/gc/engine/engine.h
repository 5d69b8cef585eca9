/* A way to look at the heap, as the course of a cycle (cycle.c) asks it for its steps: what is done
 * before, in and after each of its stops.  A new one is a file beside clone.c, a line in engine.c,
 * and what is to be expected of it in choice.c.
 *
 * The steps are called on the tracer thread.  Each answers NULL, or why it could not be done; then
 * `end` follows, unless a stop is tried again.  What is no step says where it is called. */
#ifndef GC_ENGINE_ENGINE_H
#define GC_ENGINE_ENGINE_H

#include "gc/engine/trace.h"
#include "heap/allocated.h"

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One cycle, as its engine sees it. */
struct engine_cycle {
    bool at_exit; /* nobody feels a pause, and there is no next cycle */
    bool forced;  /* this engine has been asked for */
    bool asks;    /* a question is to be answered (ask.h), by the clone engine alone */
    /* Of the process's own, resident, at the cycle's start. */
    uint64_t private_bytes;
    /* In use by the counters: at the snapshot, where one stop takes it; else at the start. */
    uint64_t in_use_bytes;
    size_t (*block_size)(const void *block); /* as heap_index_build's */
    allocated_enter *allocated;              /* where there is no object map */

    /* Written by the engine. */
    int64_t stop_ns;  /* what it may take in a stop */
    bool another_may; /* what has failed another engine may be able to do */
    struct trace_result result;
};

/* How long a mark may take: a minute, and one more for each 2 GB. */
static inline int64_t engine_limit_ns(const struct engine_cycle *cycle)
{
    uint64_t bytes = cycle->in_use_bytes < INT64_MAX / 64 ? cycle->in_use_bytes : INT64_MAX / 64;
    return INT64_C(60000000000) + (int64_t)bytes * 30;
}

#define ENGINE_STOPS_MAX 2

struct engine_stop {
    /* Before each attempt at it.  *needless: the cycle has found out all without it.  May be NULL.
     */
    const char *(*before)(struct engine_cycle *cycle, bool *needless);
    /* In the stop: as world.h wants it, it takes no lock of the program's and no heap. */
    const char *(*in_stop)(struct engine_cycle *cycle);
    /* Reads which memory the allocator has: no thread may stand in the middle of changing that. */
    bool reads_extents;
    /* After an attempt that has failed: what in_stop has begun counts for nothing.  May be NULL. */
    void (*undo)(void);
    /* When the program runs again, or the stop was needless.  May be NULL. */
    const char *(*after)(struct engine_cycle *cycle);
};

struct engine {
    bool holds_program; /* the program stands still for all of the mark */
    const char *(*prepare)(struct engine_cycle *cycle);
    struct engine_stop stops[ENGINE_STOPS_MAX];
    unsigned stop_count;
    /* Ends whatever runs, and gives back memory.  Called in any case.  May be NULL. */
    void (*end)(struct engine_cycle *cycle);
    /* After a failure: whether it was only too slow and may do better next time.  NULL: it may. */
    bool (*available)(void);
    /* The cycle before was not this engine's, or was not told: what it has learned is not what is
     * said of samples now.  On the thread that called gc_cycle, when the cycle is over.  May be
     * NULL. */
    void (*forget)(void);
    /* The program waits for the mark from now on.  On any thread.  May be NULL. */
    void (*hurry)(void);
    /* In a forked copy: what is at work is the parent's. */
    void (*postfork_child)(void);
};

/* Of MD_ENGINE_CLONE to MD_ENGINE_STOP. */
const struct engine *engine_of(enum md_engine engine);
/* All of them: after each cycle but its own that was told; at the program's end; in a forked copy.
 */
void engines_forget_but(enum md_engine kept);
void engines_hurry(void);
void engines_postfork_child(void);

#endif
