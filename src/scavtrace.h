/* scavtrace: a line for the free pages that jemalloc has returned to the system, as Go's scavenger
 * has one, at most once a second:
 *
 *   scav 812 KiB work (bg), 0 KiB work (eager), 265352 KiB now, 96% util, pid 812 sessions
 *
 * bg: what jemalloc has returned since the last line by itself, as it does some seconds after pages
 * became free (its decay).  eager: what malloc_trim, md_free_os_memory or memtop purge have made it
 * return; then the line ends with (forced).  now: address space that it keeps without memory.
 * util: the share of the pages in use in all that it has memory for. */
#ifndef SCAVTRACE_H
#define SCAVTRACE_H

#include <stdint.h>

/* Looks if it is time to; returns when to look next (CLOCK_MONOTONIC ns).  On our thread. */
int64_t scavtrace_due(int64_t now_ns);
void scavtrace_postfork_child(void);

#endif
