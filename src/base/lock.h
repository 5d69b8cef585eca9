/* A mutex that may be taken inside malloc: one word, futex when it is contended, no heap, no
 * initialisation but zero.  Locks live in private memory, so a forked child can renew them.
 *
 * The ranks are the lock order: a thread takes locks only in rising rank.  Debug builds check it.
 */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <stdbool.h>
#include <stdint.h>

enum lock_rank {
    LOCK_JOB,     /* one job of our thread's at a time (service.c) */
    LOCK_SEGMENT, /* which memory the segment's tables lie in (segment.c) */
    LOCK_PAST,    /* the rings of points (past.c) */
    LOCK_MODULES, /* the module table (modules.c) */
    LOCK_TABLES,  /* stacks, buckets, samples, mappings, and their indexes (record.c) */
    LOCK_BASES,   /* which arenas jemalloc has (bases.c) */
    LOCK_EXTENTS, /* where jemalloc has memory (extents.c) */
};

struct lock {
    uint32_t word; /* 0 free, 1 held, 2 held and waited for */
    uint32_t rank;
};

#define LOCK_INIT(r)                                                                               \
    {                                                                                              \
        0, (r)                                                                                     \
    }

void lock_take(struct lock *lock);
/* Takes it only if that needs no waiting. */
bool lock_try(struct lock *lock);
void lock_release(struct lock *lock);
/* Whether the calling thread holds one, which only a signal handler can find: what it has
 * interrupted will not go on before it returns.  Async-signal-safe. */
bool lock_held_here(void);
/* Only in a forked copy, where no other thread exists. */
void lock_postfork_child(struct lock *lock);

#endif
