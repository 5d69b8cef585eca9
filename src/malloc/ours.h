/* Which of the blocks that jemalloc's records name are not the program's: its profiler's, and what
 * our threads cause in the program's arenas; here, and in the processes that this one was forked
 * by.
 *
 * Where metadata.h reads: in a frozen copy, or while the program stands still. */
#ifndef MALLOC_OURS_H
#define MALLOC_OURS_H

#include "heap/allocated.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Tells each of them as ALLOCATED_OURS.  `is_block`: whether a block is entered at this address,
 * nothing else is read; `block_size`: its usable bytes. */
void ours_tell(bool (*is_block)(uintptr_t block), size_t (*block_size)(const void *block),
               allocated_tell *tell, void *ctx);
/* NULL, or why what is not the program's cannot be told in this process. */
const char *ours_refusal(void);
/* In a forked copy: what other threads had in their caches is nobody's from now on, and cannot be
 * told from what is allocated; then it refuses. */
void ours_postfork_child(void);

#endif
