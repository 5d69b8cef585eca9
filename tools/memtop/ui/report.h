/* What memtop says without a terminal: text for people and logs, NDJSON for programs.
 *
 * JSON is a contract: one object a line, `version` first, snake_case, units in names, null for what
 * is not known.  `version` is that of the object's `type`: keys may be added within it, a key that
 * comes to mean something else, or goes, takes a new one. */
#ifndef MEMTOP_REPORT_H
#define MEMTOP_REPORT_H

#include "series/watch.h"

#include <jansson.h>
#include <stdio.h>

#define REPORT_JSON_VERSION 1
/* 2: growth_bytes is the heap's growth, as on the screen (it was the sum of the call sites');
 * live_objects_counted instead of live_objects_exact; a site's inuse_growth_bytes (growth_bytes).
 */
#define REPORT_TARGET_VERSION 2

/* A target at this tick with its `sites` greatest call sites; NULL: no memory.  malloc'ed. */
char *report_json_text(struct watch *watch, size_t sites);
/* The same as text. */
void report_text(FILE *out, struct watch *watch, size_t sites);
/* What was lost, a line each after `indent`. */
void report_losses(FILE *out, const struct watch *watch, const char *indent);

/* One row of the list; `rss` 0 and not known: -1. */
json_t *report_target_json(const struct target *target);
/* Writes the object as one line and drops it. */
void report_line(FILE *out, json_t *object);
/* Text of other people: control characters and what is not UTF-8 become ?. */
json_t *report_string(const char *text);
/* A number, null if it is not known. */
json_t *report_number(double value);

#endif
