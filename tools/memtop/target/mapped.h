/* What is still mapped of what a process has mapped.  libc unmaps the stacks of ended threads
 * without a call that the library sees, and a call may have been lost; whoever may read the
 * process's maps knows better. */
#ifndef MEMTOP_MAPPED_H
#define MEMTOP_MAPPED_H

#include "source.h"

/* Takes from the buckets of the source's snapshot (SNAPSHOT_PROFILE and SNAPSHOT_MAPPINGS) what of
 * their mappings is not there any more.  Nothing where the process has ended or its maps cannot be
 * read. */
void mapped_correct(struct source *source);
/* Why nothing is known of its mappings; NULL: they are recorded. */
const char *mapped_why_none(const struct snapshot *snapshot);

#endif
