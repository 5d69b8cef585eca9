/* Readings of processes as Prometheus's text (version 0.0.4) or OpenMetrics (1.0.0).
 *
 * What a process counts comes from counters.def; labels are pid and program.  Units are
 * Prometheus's: seconds, bytes.  A figure that is not known has no sample.  Pure; any thread. */
#ifndef MEMTOP_METRICS_H
#define MEMTOP_METRICS_H

#include "fleet.h"

#include <stdbool.h>
#include <stddef.h>

/* Processes that are told; of more, those with the smallest heaps are left out, and
 * memdebug_processes_left_out says how many. */
#define METRICS_PROCESSES_MAX 2000

#define METRICS_TYPE_PROMETHEUS "text/plain; version=0.0.4; charset=utf-8"
#define METRICS_TYPE_OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* Whether an Accept header (NULL: none) prefers OpenMetrics. */
bool metrics_wants_openmetrics(const char *accept);
/* malloc'ed text of *size bytes; NULL: no memory.  Sorts the readings. */
char *metrics_text(struct reading *readings, size_t count, bool openmetrics, size_t *size);

#endif
