/* Where jemalloc has memory mapped: every mmap, munmap and madvise of jemalloc passes through here
 * (its symbols are renamed at build time), so the tracer knows the heap's address ranges exactly
 * and never takes allocator memory for roots.  Ranges are kept sorted and merged in a table of our
 * own; jemalloc retains what it maps, so there are few. */
#ifndef HEAP_EXTENTS_H
#define HEAP_EXTENTS_H

#include <stddef.h>
#include <stdint.h>

struct extent {
    uintptr_t start, end;
};

#define EXTENTS_MAX 65536

/* The table, sorted by start, no overlaps.  Guarded by extents_lock for writers; a tracer reads it
 * while every thread is parked: extents_stable() says whether nobody was inside a change. */
extern struct extent *extents;
extern unsigned extent_count;
int extents_stable(void);

/* From extents_pin to extents_unpin `extents` stays as it is while the program maps on, so that it
 * can be read without a stop; extents_live is then the table as it changes.  One user at a time. */
void extents_pin(void);
void extents_unpin(void);
const struct extent *extents_live(unsigned *count);
/* In a forked copy. */
void extents_renew(void);

/* Bytes mapped in all. */
uint64_t extents_bytes(void);

#endif
