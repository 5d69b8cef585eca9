/* A second marker, simple enough to be seen to be right: a stack of blocks, one word after the
 * other, no queue, no fetching ahead, no helpers.  It is given the same words as the first and must
 * reach the same blocks.  Only where memory does not change meanwhile (a frozen copy, a stopped
 * program); in debug builds every such trace is checked, else only tests use it. */
#ifndef GC_MARK_MARK_CHECK_H
#define GC_MARK_MARK_CHECK_H

#include "gc/mark/mark.h"

struct mark_check;

/* Whether traces are to be checked. */
#ifdef MARK_CHECK
#define MARK_CHECKED true
#else
#define MARK_CHECKED false
#endif

/* From here on what is told to `mark` is followed by the simple marker too, at once.  `block_size`
 * as heap_index_build's.  False: no memory. */
bool mark_check_begin(struct mark *mark, size_t (*block_size)(const void *block));
/* After mark_finish: blocks that one of the two has reached and the other has not.  Ends it. */
uint64_t mark_check_end(struct mark *mark);

/* For mark.c: the words of [start, end), 8-byte aligned; a block taken for reached. */
void mark_check_words(struct mark_check *check, uintptr_t start, uintptr_t end);
void mark_check_reach(struct mark_check *check, uintptr_t block);

#endif
