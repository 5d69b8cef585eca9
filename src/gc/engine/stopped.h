/* Marking while the program stands still: the last resort, where a process can neither be cloned
 * nor its writes be tracked; or what gcengine=stop asks for.  A task does it (task.h): what it
 * reads may fault, and a fault in the process's own threads would be the program's.  It is called
 * off when it takes too long. */
#ifndef GC_ENGINE_STOPPED_H
#define GC_ENGINE_STOPPED_H

#include "gc/engine/engine.h"

extern const struct engine engine_stopped;

#endif
