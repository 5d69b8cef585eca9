/* Interned stacks and buckets: which table entry does this stack, with this kind, key and label,
 * belong to?  Open addressing over indexes into the segment's tables; the index lives in private
 * memory and is built anew after fork.  The caller holds the tables lock. */
#ifndef PROF_TABLE_H
#define PROF_TABLE_H

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stdint.h>

uint32_t stack_hash(const uint64_t *pcs, unsigned depth);
/* Id of the stack, 0 if it is not there. */
uint32_t stack_find_locked(const uint64_t *pcs, unsigned depth, uint32_t hash);
/* Adds it; 0: no room. */
uint32_t stack_add_locked(const uint64_t *pcs, unsigned depth, uint32_t hash, uint32_t epoch,
                          bool truncated);
/* What a bucket is told apart by. */
struct bucket_id {
    enum md_bucket_kind kind;
    uint32_t stack;
    uint64_t key; /* and label: as in md_bucket */
    enum md_label label;
};
/* Index of the bucket, made if need be.  False: no room. */
bool bucket_intern_locked(struct bucket_id id, uint32_t *bucket);
/* Adds to the two values of a bucket from `at` on.  Readers run beside us, so each sum is one
 * atomic store; writers hold the lock. */
void bucket_charge_locked(uint32_t index, unsigned at, uint64_t first, uint64_t second);
/* Sets the first two values of the bucket of `kind` with the stack and key of bucket `of`; it is
 * made if it is to have any.  False: no room. */
bool bucket_restate_locked(uint32_t of, enum md_bucket_kind kind, uint64_t first, uint64_t second);
/* In a forked copy, with empty tables in the segment. */
void table_postfork_child(void);

#endif
