/* Root pages that need not be looked at again: the gigabytes that a JVM, or any program with memory
 * of its own making, has beside the heap, most of which point to nothing of malloc's and do not
 * change from one cycle to the next.
 *
 * A page is barren if no word of it lies in the window, a range of addresses around the heap.  It
 * stays under write tracking (track.h) when the cycle is over, and is not looked at in the next one
 * unless it has been written to.
 *
 * Why no pointer is missed: a pointer to a block, to one born later too, lies in the span of the
 * heap of the cycle that looks for it.  That span lies within the window, or everything is
 * forgotten and the window made anew; so a page without a word in the window has no pointer.  It
 * was armed before it was looked at, and asked about and armed again in one step at the beginning
 * of each cycle, so whatever is written to it is seen: then, or by the rounds of the cycle, before
 * it is taken for barren again.  Who exchanges the page for another (mmap, mremap) leaves a mapping
 * that is not registered: then all of the range is forgotten, before it is registered again (Linux
 * before 6.13 lets moved pages keep their bits).  Pages given back (MADV_DONTNEED) read as zeros.
 * What could not be read is never barren.  After a cycle that was not brought to its end, of which
 * it is not known what it has consumed, all is forgotten.
 *
 * What it costs: the program's first write to such a page after a cycle is a fault of 1.3 us, where
 * looking at the page would have cost 0.5.  So it is done by chunks of 2 MiB, of which most is
 * barren; a chunk in which much is written to is left alone for cycles, twice as many each time;
 * and of new ones only so many are tried in a cycle.
 *
 * On the tracer thread, and in the task that marks, by turns. */
#ifndef GC_ROOTS_BARREN_H
#define GC_ROOTS_BARREN_H

#include <stdbool.h>
#include <stdint.h>

/* At the beginning of a cycle, before its ranges.  Without memory nothing is ever barren. */
void barren_begin(void);
/* One of its ranges, in ascending order.  `known`: all of it has been registered all the time, so
 * that what is barren still is where nothing is written to. */
void barren_range(uintptr_t start, uintptr_t end, bool known);
/* Pages that have been written to, or may have. */
void barren_written(void *unused, uintptr_t start, uintptr_t end);
/* When all ranges are armed: the heap's span in this cycle. */
void barren_heap(uintptr_t lo, uintptr_t span);

/* Calls `fn` for each run of pages in [start, end) that has to be looked at. */
void barren_each_other(uintptr_t start, uintptr_t end,
                       void (*fn)(void *ctx, uintptr_t start, uintptr_t end), void *ctx);
/* The window: what no word of a barren page lies in. */
uintptr_t barren_lo(void);
uintptr_t barren_span(void);
/* A page of one of the ranges, armed before it was looked at, is barren. */
void barren_found(uintptr_t page);

/* At the end: calls `fn` for each run of a range that is to be disarmed; the rest stays armed. */
void barren_each_done(uintptr_t start, uintptr_t end,
                      void (*fn)(void *ctx, uintptr_t start, uintptr_t end), void *ctx);
/* Nothing is known any more. */
void barren_forget(void);

#endif
