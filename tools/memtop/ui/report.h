/* A target as text for people and logs, and as NDJSON for programs. */
#ifndef MEMTOP_REPORT_H
#define MEMTOP_REPORT_H

#include "series/csv.h"
#include "series/ndjson.h"
#include "series/watch.h"

#include <stdio.h>

/* The version of JSON's type "target", whose call sites are of the kind that is shown; what a kind
 * has not is null.  2: growth_bytes is the heap's growth, as on the screen, where it was the sum of
 * the call sites'; live_objects_counted was live_objects_exact; a site's inuse_growth_bytes was
 * growth_bytes. */
#define REPORT_TARGET_VERSION 2

/* A target at this tick as JSON's type "target", as below; the caller's. */
json_t *report_json(struct watch *watch, size_t sites);
/* Its figures as a line of CSV, at first with that of the names. */
void report_csv(struct csv *csv, FILE *out, struct watch *watch);
/* A target at this tick with the `sites` call sites that grow most, and its past where the watch
 * has that at each tick; NULL: no memory.  malloc'ed. */
char *report_json_text(struct watch *watch, size_t sites);
/* The same as text. */
void report_text(FILE *out, struct watch *watch, size_t sites);
/* What was lost, each in a line behind `indent`. */
void report_losses(FILE *out, const struct watch *watch, const char *indent);

/* A process of the list, as JSON's type "process"; the caller's.  Reads its /proc. */
json_t *report_target_json(const struct target *target);

#endif
