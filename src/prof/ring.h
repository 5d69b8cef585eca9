/* Records made where nothing may be locked, asked or waited for: in a signal handler that has
 * interrupted a record, or in the middle of a lock.  Each thread has a ring, which only it and its
 * handlers write to; whoever may drains them all (record.h).  A ring is mapped at its thread's
 * first record, and taken over by another when that thread has ended.  Lock-free and safe in a
 * signal handler; errno is kept. */
#ifndef PROF_RING_H
#define PROF_RING_H

#include <stdbool.h>
#include <stdint.h>

#define RING_VALUES 4

struct ring_record {
    uint32_t kind;      /* enum md_bucket_kind */
    uint32_t operation; /* as the kind calls it */
    uint64_t value[RING_VALUES];
    uint32_t depth; /* of the stack; 0: unknown */
    bool truncated;
    uint64_t pcs[];
};

/* Copies a record with its stack into the calling thread's ring.  False: that is full, or there is
 * no memory for one; the caller counts it. */
bool ring_put(const struct ring_record *record, const uint64_t *pcs);
/* Whether something may have been put since the last drain began. */
bool ring_any(void);
/* Whether one that was put before may not have been drained yet. */
bool ring_pending(void);
/* Calls `fn` for each record put before, of each thread's in the order in which it has put them,
 * then forgets them.  While another thread is at it that one does it, as a rule before it returns:
 * what it leaves is told by ring_any. */
void ring_drain(void (*fn)(const struct ring_record *record));
/* In a forked copy, before any other thread of it begins: what the parent had not drained stays,
 * but for what a thread was in the middle of putting or forgetting, with what it had put behind
 * that.  Returns in how many rings something may have been lost. */
unsigned ring_postfork_child(void);

#endif
