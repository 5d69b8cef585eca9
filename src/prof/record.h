/* How a record of any kind comes into the segment's tables: the stack of whoever called is taken
 * with nothing locked, then the tables are locked, which is for some 100 ns, then the kind's own
 * code finds its bucket and charges it.  Nothing here uses the heap. */
#ifndef PROF_RECORD_H
#define PROF_RECORD_H

#include "prof/ring.h"

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stdint.h>

/* The lock of the stacks, buckets, live samples and mappings, and of their indexes.  Whoever takes
 * it sets prof_thread.busy first: a signal handler that comes in between must not wait for what its
 * own thread holds. */
void tables_take(void);
bool tables_try(void);
/* Does what was left in pending.h meanwhile, too. */
void tables_give(void);
/* segment_move_lock: with what guards the modules, so that all of the tables can move. */
bool tables_move_lock(bool take);
/* Who records what is left there; the tables are locked.  Before the first pending_add. */
extern void (*tables_take_pending_locked)(uint64_t what);

struct record {
    uint64_t *pcs;
    unsigned depth;
    bool truncated, inside;
};
/* Takes the caller's stack and then the tables.  Returns the stack's id, 0 where it is not known,
 * which is counted. */
uint32_t record_begin(struct record *record);
/* Lets go of both. */
void record_end(struct record *record);

/* For who records nothing: the whole of the caller's stack, as far as it is certain (unwind.h). Not
 * inside the profiler.  Then it lets go of it. */
void record_look(struct record *record);
void record_looked(struct record *record);

/* Where nothing may be locked: in a signal handler that comes in the middle of a record.  The stack
 * is taken, if `stacked` (and not inside the unwinder: that is a lost stack), and all of it is put
 * aside (ring.h) until somebody may do it.  False: lost, which the caller counts.
 * Async-signal-safe. */
bool record_defer(enum md_bucket_kind kind, uint32_t operation, const uint64_t value[RING_VALUES],
                  bool stacked);
/* Does what has been put aside: before and after a record, outside the profiler, with nothing held,
 * and by our thread now and then.  errno is kept. */
void record_deferred(void);
/* What does it for each kind: the tables are locked, `stack` is its stack's id. */
extern void (*record_deferred_locked[MD_BUCKET_KINDS])(const struct ring_record *record,
                                                       uint32_t stack);

/* In a forked copy, whose tables are empty. */
void record_postfork_child(void);

#endif
