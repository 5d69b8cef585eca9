/* How much free room there is in the slab of a block: what keeps the slab's pages in memory is the
 * blocks in it.  Read from jemalloc's own records where they lie, on any thread: no lock is taken
 * and nothing is allocated.  What is read in the middle of a change may be wrong for one slab. */
#ifndef MALLOC_SLABS_H
#define MALLOC_SLABS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Once jemalloc is up, before threads. */
void slabs_init(void);
/* Whether any of this is known with this jemalloc. */
bool slabs_are_known(void);

/* A sampled block of the plain variant lies apart from its like (plain.c).  In the middle of such
 * an allocation: the block that this thread would have been given instead, which its next one of
 * this size gets, or else the one that it was given before.  0: not known, or no slab has blocks of
 * `usable` bytes. */
uintptr_t slabs_sibling(size_t usable);

/* The share of one block in the free room of the slab at `at`: that room by the blocks that are
 * there.  `there`: the block is one of those; else it is as if it were, and where there is no such
 * slab any more it would be the last one in it.  Bytes; `size` is the block's.  0: it lies in none.
 */
double slabs_share(uintptr_t at, size_t size, bool there);

#endif
