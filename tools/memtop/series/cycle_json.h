/* Records of gctrace=json read back. */
#ifndef MEMTOP_CYCLE_JSON_H
#define MEMTOP_CYCLE_JSON_H

#include "view/gctrace.h"

/* As gctrace_parse, for a record that begins at `text`; what stands behind it is passed over.
 * GCTRACE_EXACT, or GCTRACE_NONE for all else. */
enum gctrace_form trace_json_parse(const char *text, size_t length, struct md_cycle *out,
                                   uint32_t *pid, char *name);

#endif
