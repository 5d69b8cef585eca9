/* What a process has kept of its past (struct md_past), from before anybody looked. */
#ifndef MEMTOP_PAST_H
#define MEMTOP_PAST_H

#include "history.h"
#include "rate.h"

#include "view/snapshot.h"

#include <jansson.h>

/* Puts the points and cycles of a snapshot with SNAPSHOT_PAST and SNAPSHOT_CYCLES into an empty
 * history, and what was published last. */
void past_fill(struct history *history, const struct snapshot *snapshot);

/* The rates at which bytes were allocated and freed at the last publication, as rate_update goes on
 * with them; it stays as it is where the past does not tell. */
void past_rates(const struct snapshot *snapshot, struct rate *allocated, struct rate *freed);

/* The points of a snapshot with SNAPSHOT_PAST, oldest first, as a JSON array; null: the writer kept
 * none.  The caller's. */
json_t *past_json(const struct snapshot *snapshot);

#endif
