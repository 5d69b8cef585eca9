/* Marking while the program stands still: the last resort, where a process can neither be cloned
 * nor its writes be tracked, or what a test asks for.  Done by a task, as the program's own threads
 * read nothing that may fault, and called off when it takes too long. */
#ifndef GC_ENGINE_STOPPED_H
#define GC_ENGINE_STOPPED_H

#include "gc/engine/engine.h"

extern const struct engine engine_stopped;

#endif
