/* Where jemalloc keeps what it knows of each arena: its base, and the blocks of memory that belong
 * to it. */
#ifndef MALLOC_BASES_H
#define MALLOC_BASES_H

#include "malloc/jemalloc.h"

#define BASES_MAX 4096u /* as many arenas as jemalloc has at most */

/* Once jemalloc is up, before threads: the first arena's, which is made past the calls below. */
void bases_init(void);
/* An arena comes; it goes: nothing of it is read once bases_remove has returned. */
void bases_add(unsigned index, const jemalloc_base *base);
void bases_remove(const jemalloc_base *base);
/* The blocks of a base, the newest first; NULL: not known. */
const struct jemalloc_base_block *bases_blocks(const jemalloc_base *base);

/* From `true` to `false` no arena goes.  Holds a lock meanwhile, for which whoever has an arena
 * destroyed waits with jemalloc's own held: nothing that may wait for jemalloc is called. */
void bases_hold(bool hold);
/* How many indexes there are, and the base of the arena with this one; NULL: there is none. */
unsigned bases_count_locked(void);
const jemalloc_base *bases_at_locked(unsigned index);
/* In a forked copy. */
void bases_postfork_child(void);

#endif
