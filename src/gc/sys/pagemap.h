/* Which pages of a range have contents: the marker reads no other, so that looking at a sparse
 * mapping costs the machine no memory and a mapping that cannot be faulted in no signal.
 *
 * pagemap_open is called by whoever asks, as it is about the caller's own memory: in the tracer
 * thread for the program's, in the snapshot child for the copy's.  One thread at a time. */
#ifndef GC_SYS_PAGEMAP_H
#define GC_SYS_PAGEMAP_H

#include <stdbool.h>
#include <stdint.h>

/* Opens what is needed, and closes what was open before.  In the child it comes before
 * PR_SET_DUMPABLE: then the files of /proc/self are root's. */
void pagemap_open(void);

/* Calls `fn` for each run of pages in [start, end) (page-aligned) that the process has written to:
 * present or swapped, not a clean page of a file, and where the kernel can tell not the zero page.
 * By PAGEMAP_SCAN (Linux 6.7), else /proc/self/pagemap, else mincore(2) (which also reports pages
 * of files in the cache). */
void pagemap_each_written(uintptr_t start, uintptr_t end,
                          void (*fn)(void *ctx, uintptr_t start, uintptr_t end), void *ctx);

/* Calls `fn` for each run of pages in [start, end) that are present and not mapped as large pages.
 * False: the kernel cannot tell (before Linux 6.7). */
bool pagemap_each_small(uintptr_t start, uintptr_t end,
                        void (*fn)(void *ctx, uintptr_t start, uintptr_t end), void *ctx);

/* Write tracking, of mappings registered for it with userfaultfd (track.h), by PAGEMAP_SCAN.
 *
 * Begins anew: no page of [start, end) counts as written.  In slices, with the program running: it
 * holds the lock of the address space for about 0.4 ms at a time.  `fn`, unless it is NULL, is
 * called for each run that was written to, there or not.  False: not all of it is registered, or
 * the kernel cannot do it; how much has been done is not known. */
bool pagemap_arm(uintptr_t start, uintptr_t end,
                 void (*fn)(void *ctx, uintptr_t start, uintptr_t end), void *ctx);
/* Whether all of [start, end) is registered for it. */
bool pagemap_all_tracked(uintptr_t start, uintptr_t end);
/* Calls `fn` for each run of pages with contents in [start, end) written to since; with `rearm`
 * they do not count as written from then on (before fn is called), and mappings that are not
 * registered are left out.  False: the kernel cannot tell. */
bool pagemap_each_dirty(uintptr_t start, uintptr_t end, bool rearm,
                        void (*fn)(void *ctx, uintptr_t start, uintptr_t end), void *ctx);
/* The same of anonymous memory; a short run may have pages that are not there.  The kernel arms a
 * stretch at a time: with `rearm`, `armed` (unless it is NULL) is called when it has, before `fn`
 * for the runs of that stretch.  What lies behind it is not armed yet. */
bool pagemap_each_dirty_anonymous(uintptr_t start, uintptr_t end, bool rearm,
                                  void (*armed)(void *ctx),
                                  void (*fn)(void *ctx, uintptr_t start, uintptr_t end), void *ctx);
/* As pagemap_each_written, of mappings that are not registered. */
bool pagemap_each_untracked(uintptr_t start, uintptr_t end,
                            void (*fn)(void *ctx, uintptr_t start, uintptr_t end), void *ctx);

/* For tests: use nothing better than this way (0: best, 1: pagemap, 2: mincore). */
extern int pagemap_way;

#endif
