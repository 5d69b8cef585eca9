/* Who pins partly used slabs, told when somebody asks (MD_REQUEST_PINS): live samples are looked up
 * in jemalloc's records, and added up by call site (prof/pins.h, malloc/slabs.h). */
#ifndef PINNED_H
#define PINNED_H

#include <stdbool.h>

/* Tells it anew; `own`: on a thread of ours.  A thread of the program's begins, for some 50 us; the
 * rest comes at publications from then on, as much at each.  On any thread, not inside the profiler
 * nor with a lock held; after segment_check. */
void pinned_write(bool own);
bool pinned_is_under_way(void);
void pinned_continue(void);
void pinned_postfork_child(void);

#endif
