/* Corrects the mmap kind of profile by a process's maps.  libc unmaps the stacks of ended threads
 * without a call that the library sees, and the library may have lost a call. */
#ifndef MEMTOP_MAPPED_H
#define MEMTOP_MAPPED_H

#include "source.h"

/* Subtracts from the buckets of the source's snapshot (SNAPSHOT_PROFILE and SNAPSHOT_MAPPINGS) what
 * is no longer mapped of their mappings.  Does nothing if the process has ended, its maps cannot be
 * read, or there is no memory. */
void mapped_correct(struct source *source);
/* Why a process's mappings are not recorded, in a phrase; NULL: they are.  Static. */
const char *mapped_why_none(const struct snapshot *snapshot);

#endif
