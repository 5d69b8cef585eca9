/* The object map of one mark, where the process has none: filled from the allocator's own records,
 * where nothing changes meanwhile, in a frozen copy or while the program stands still. */
#ifndef GC_ENGINE_ALLOCATED_H
#define GC_ENGINE_ALLOCATED_H

#include "gc/mark/mark.h"
#include "heap/allocated.h"

/* Where the mark runs, before the index is built.  NULL, or why not. */
const char *allocated_fill(allocated_enter *enter);
/* After the mark: leaves out what is ours, and hands on what is in doubt (mark.h).  Nothing where
 * allocated_fill was not called.
 *
 * Why not before: who stands in the allocator holds the block that he is about to take or give back
 * in a register or on his stack, and what that leads to is reached by it.  Were blocks in doubt
 * taken for reached, so would be what lost ones among them lead to. */
void allocated_settle(struct mark *mark);
/* Where the process goes on: in the stop still, when nobody marks any more. */
void allocated_free(void);

/* Where there is an object map: whether it and the allocator's records tell the same blocks, but
 * for those in doubt, and for blocks that it does not have yet.  Builds for tests look at it in
 * each copy.  NULL: they do; else what not, which begins with ALLOCATED_DIFFERS. */
#define ALLOCATED_DIFFERS "jemalloc's records"
const char *allocated_check(allocated_enter *enter);
#if defined(MARK_CHECK) || defined(HOSTILE_ALLOCATIONS)
#define ALLOCATED_CHECKED true
#else
#define ALLOCATED_CHECKED false
#endif

#endif
