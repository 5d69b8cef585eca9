/* Large pages for a large heap, before a stop.  The clone of the snapshot copies one page table
 * entry for each page, and touches the kernel's record of each: 20-28 ms for 1 GB of 4 KiB pages,
 * 0.9 ms for the same in pages of 2 MiB (measured), and all of it is pause.  So the parts of the
 * heap that are wholly in use are collapsed into large pages while the program runs: by
 * MADV_COLLAPSE, where PAGEMAP_SCAN tells which they are (Linux 6.7; before, nothing happens).
 *
 * The program's contents, addresses and resident size stay as they are: only ranges of 2 MiB of
 * which every page is present are taken.  The cost is a copy of the range, about 0.4 ms of CPU for
 * 2 MiB, once, and again where a write during a mark has split it; a thread that faults meanwhile
 * waits for the range at work.
 *
 * On the tracer thread. */
#ifndef GC_ENGINE_THP_H
#define GC_ENGINE_THP_H

#include <stdint.h>

/* Below this heap a clone is short as it is. */
#define THP_MIN_HEAP (UINT64_C(64) << 20)

/* A round takes this long at most; what is left waits for the next cycle.  On a busy machine each
 * range waits for a turn of every CPU. */
#define THP_LIMIT_NS INT64_C(2000000000)

void thp_collapse(void);

#endif
