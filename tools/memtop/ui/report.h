/* What memtop says of a target without a terminal: text for people and logs, NDJSON for programs.
 */
#ifndef MEMTOP_REPORT_H
#define MEMTOP_REPORT_H

#include "series/ndjson.h"
#include "series/watch.h"

#include <stdio.h>

/* Of JSON's type "target", whose call sites are of the kind that is shown; what a kind has not is
 * null.  2: growth_bytes is the heap's growth, as on the screen (it was the sum
 * of the call sites'); live_objects_counted instead of live_objects_exact; a site's
 * inuse_growth_bytes (growth_bytes).
 */
#define REPORT_TARGET_VERSION 2

/* A target at this tick with the `sites` call sites that grow most; NULL: no memory.  malloc'ed. */
char *report_json_text(struct watch *watch, size_t sites);
/* The same as text. */
void report_text(FILE *out, struct watch *watch, size_t sites);
/* What was lost, a line each after `indent`. */
void report_losses(FILE *out, const struct watch *watch, const char *indent);

/* One row of the list; `rss` 0 and not known: -1. */
json_t *report_target_json(const struct target *target);

#endif
