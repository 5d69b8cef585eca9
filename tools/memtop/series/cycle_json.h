/* Reads records of gctrace=json back. */
#ifndef MEMTOP_CYCLE_JSON_H
#define MEMTOP_CYCLE_JSON_H

#include "view/gctrace.h"

/* As gctrace_parse, for a record that begins at `text`; what follows it is passed over.
 * GCTRACE_EXACT; for all else GCTRACE_NONE, and `out` and `name` are unchanged. */
enum gctrace_form trace_json_parse(const char *text, size_t length, struct md_cycle *out,
                                   uint32_t *pid, char *name);

#endif
