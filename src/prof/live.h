/* The live samples: one record in the segment for each sampled object that has not been freed, and
 * an index by address for the callers that keep no handle.  A handle names a record and its
 * generation, so one that outlives its record (in a forked copy) does no harm.  The caller holds
 * the tables lock. */
#ifndef PROF_LIVE_H
#define PROF_LIVE_H

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stdint.h>

/* 0: no room.  `indexed`: it will be looked up by address. */
uint64_t live_add_locked(uint64_t addr, uint32_t bucket, uint64_t weight, uint32_t born_ds,
                         bool indexed);
/* How many there are.  Takes no lock. */
uint64_t live_count(void);
/* Takes the record out and copies it to `out`; false: there is none. */
bool live_remove_locked(uint64_t handle, struct md_sample *out);
bool live_remove_at_locked(uint64_t addr, struct md_sample *out);
/* Names this moment for live_flag_locked.  Takes no lock. */
uint64_t live_moment(uint32_t now_ds);
/* What a cycle that looked at `moment` says of record `slot`: MD_SAMPLE_UNREACHED and
 * MD_SAMPLE_INDIRECT as in `flags`, and MD_SAMPLE_LEAK if the last one said UNREACHED too.  With
 * MD_SAMPLE_LEAK in `flags`: what it was before.  Nothing if the sample is younger.  True: it is a
 * leak. */
bool live_flag_locked(uint32_t slot, uint32_t flags, uint64_t moment);
/* In a forked copy, before it takes a sample: whether the parent's sample is from before the fork.
 */
bool live_at_fork(const struct md_sample *sample);
/* In a forked copy: puts a record where the parent had it.  One without an address leaves only its
 * generation, so that handles of what the parent had there find nothing. */
bool live_inherit_locked(uint32_t slot, const struct md_sample *sample, bool indexed);
/* In a forked copy, with an empty table in the segment; before live_inherit_locked. */
void live_postfork_child(void);
/* After the last live_inherit_locked: slots in between become free. */
void live_inherited_locked(void);

#endif
