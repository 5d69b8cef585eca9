/* What jemalloc has, told to whoever looks at the segment: how many of its pages are in use, which
 * ranges of address space are its own and which are ours (md_header.allocator, MD_SECTION_RANGES).
 *
 * It is written when somebody asks (MD_REQUEST_ALLOCATOR), and costs nothing before.  A thread of
 * the program's reads counters that jemalloc changes by atomics: no lock of jemalloc's is taken,
 * and nobody waits.  A thread of ours also has jemalloc add up its statistics, which takes each
 * arena's locks for a moment. */
#ifndef MALLOC_ACCOUNT_H
#define MALLOC_ACCOUNT_H

#include <stdbool.h>

/* Writes it anew; `own`: on a thread of ours.  On another not in the middle of our own work
 * (lock_held_here). */
void account_write(bool own);

/* In a forked copy. */
void account_postfork_child(void);

#endif
