/* Marking while the program stands still: the last resort, where a process can neither be cloned
 * nor its writes be tracked, or what a test asks for.  Done by a task, as the program's own threads
 * read nothing that may fault, and called off when it takes too long.
 *
 * On the tracer thread. */
#ifndef GC_ENGINE_STOPPED_H
#define GC_ENGINE_STOPPED_H

#include "gc/engine/trace.h"

#define STOP_NS INT64_C(100000000)         /* longest stop, where it is a last resort */
#define STOP_FORCED_NS INT64_C(1000000000) /* and where it has been asked for */

/* Before each attempt at a stop.  NULL, or why not. */
const char *stopped_prepare(void);
/* With the world stopped: all of it.  NULL, or why not. */
const char *stopped_mark(struct trace_result *result, int64_t limit_ns);
/* After the world has been resumed: ends whatever runs, and gives back memory.  Always. */
void stopped_end(void);
/* In a forked copy. */
void stopped_renew(void);

#endif
