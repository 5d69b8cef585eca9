/* What jemalloc says of its pages, and giving back those that are free.  On any thread, not in the
 * middle of an allocation: it takes each arena's locks, one after the other, for a moment. */
#ifndef MALLOC_STATS_H
#define MALLOC_STATS_H

#include <stdint.h>

/* What stats_value says is of this moment from here on. */
void stats_refresh(void);
/* A number of mallctl's, by its name; 0: it has none of that name. */
uint64_t stats_value(const char *name);

/* Bytes of free pages that jemalloc keeps: with memory, and such that the system may take at any
 * time. */
uint64_t stats_dirty(void);
uint64_t stats_muzzy(void);
/* Bytes that jemalloc has given back since the start; 0 where it does not count. */
uint64_t stats_returned(void);
/* Gives back what is free in all arenas, and in the calling thread's cache; what other threads'
 * caches hold stays.  Returns how many bytes that were. */
uint64_t stats_give_back(void);
/* Bytes that stats_give_back has ever given back. */
uint64_t stats_given_back(void);

#endif
