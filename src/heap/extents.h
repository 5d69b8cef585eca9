/* Where jemalloc has its memory: every mmap and munmap of jemalloc passes through here (its symbols
 * are renamed at build time), and what it has by other means is told, so the tracer knows the
 * heap's address ranges exactly and never takes allocator memory for roots.  Ranges are kept sorted
 * and merged in a table of our own; jemalloc retains what it maps, so there are few. */
#ifndef HEAP_EXTENTS_H
#define HEAP_EXTENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct extent {
    uintptr_t start, end;
};

#define EXTENTS_MAX 65536

/* The table, sorted by start, no overlaps.  Writers hold extents_lock.  A tracer reads it while
 * every thread is parked and extents_stable() says that none is inside a change; or while it is
 * pinned. */
extern struct extent *extents;
extern unsigned extent_count;
int extents_stable(void);

/* From extents_pin to extents_unpin `extents` stays as it is while the program maps on, so that it
 * can be read without a stop; extents_live is then the table as it changes: for a stop.  One user
 * at a time. */
void extents_pin(void);
void extents_unpin(void);
const struct extent *extents_live(unsigned *count);
/* Copies the table as it is at one moment of this call, beside a program that changes it: takes no
 * lock, and waits for whoever is within a change.  Where that takes long, and the table is pinned,
 * what is pinned.  Returns how many there are; if that is more than `room`, nothing is copied. */
unsigned extents_copy(struct extent *to, unsigned room);
/* In a forked copy. */
void extents_postfork_child(void);
/* Whether the fork came in the middle of another thread's change: what is listed may be anything,
 * and there can be no cycle in this process. */
bool extents_torn(void);

/* At boot: what is adopted is listed from now on; else it is no heap, and what it holds counts as
 * roots.  It costs a look at the table for each slab. */
void extents_adopt_all(void);
/* Memory that jemalloc has from elsewhere: extent hooks of the program's, sbrk.  Called before any
 * block is in it.  What is listed already stays what it is; where the table is full the memory is
 * not listed: blocks in it are never found, and what they hold counts as roots.  False: the object
 * map cannot be had, so jemalloc must not use it. */
bool extents_adopt(uintptr_t start, uintptr_t end);
/* Called when no block is in it any more, before it is given back to where it is from.  Only what
 * has been adopted is taken off. */
void extents_release(uintptr_t start, uintptr_t end);

/* Bytes listed in all. */
uint64_t extents_bytes(void);

#endif
