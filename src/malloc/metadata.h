/* The allocated blocks as jemalloc's own records have them: what the object map says in the tracked
 * variant, where there is none.  Costs the program nothing: the records are read where a cycle
 * needs them, in a frozen copy of the process or while it stands still.
 *
 * A block is allocated if its bit of the slab says so, or its extent is in use, and it lies in no
 * thread's cache.  Of a thread that stands in the middle of the allocator's code neither is
 * certain: what is in doubt for that is told so.  What is not the program's is left out (blocks of
 * our own threads, the arrays of the caches), or told to be ours. */
#ifndef MALLOC_METADATA_H
#define MALLOC_METADATA_H

#include "heap/allocated.h"

#include <stddef.h>

/* Whether this build knows the records of its jemalloc. */
bool metadata_is_known(void);
/* At boot, when jemalloc is up and before the first block, where cycles are asked for from the
 * start: blocks of 8 bytes are of 16, so that each is known by itself.  Else two that lie in 16
 * bytes count as one, lost only together. */
void metadata_be_exact(void);
/* Before the first cycle, on a thread of ours, where the allocator may be called: looks whether the
 * records are as they are taken to be, and learns the size classes.  NULL, or in one sentence why
 * they cannot be read. */
const char *metadata_init(void);

/* Enters them (gc_hooks.allocated). */
allocated_enter metadata_enter;

/* Usable bytes of a block, read in the same way (gc_hooks.block_size). */
size_t metadata_block_size(const void *block);

#endif
