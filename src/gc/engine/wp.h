/* Marking beside the running program, between two short stops: for large heaps.
 *
 * Writes are tracked (track.h) from a moment on.  A first stop tells where the threads' stacks are
 * in use; then a task marks from all roots while the program runs, and looks again, in rounds, at
 * the pages written to meanwhile (remark.h).  When nothing is left unreached but what is known to
 * be lost (candidates.h), that is all.  Else, when few pages are left, the program is stopped:
 * registers, stacks and small mappings are looked at, then, if there is still something to be
 * found, the last pages; the mark is brought to its end, and the program goes on.
 *
 * Why nothing reachable is taken for unreachable: what is reachable at the stop is so by a path
 * from a root.  Roots are looked at in the stop, or were and have not been written to since.  Each
 * block on the path either was in the index, then it is looked into when it is first reached, and
 * again if written to afterwards; or it was born later, then what it holds was written later, and
 * its page is looked at again.  A page is armed before it is looked at, so no write falls between.
 * Blocks freed in the course are found by the object map, which is tracked too (but for known ones
 * where there is no other candidate).
 *
 * What the kernel writes without a fault is not tracked (pinned.h).  With memory pinned for long
 * there is no marking of this kind.  With files that are read past the page cache pages are armed
 * once, before the first stop, and rounds do not arm them anew.  A call that pins its pages after
 * that has them count as written until the second stop.  One that had pinned them before either has
 * returned by the first stop, then what it has read is there when they are first looked at; or it
 * is under way there, then they are looked at in the second stop, whatever is known of them.  (A
 * file that is opened so, read and closed between two looks at the table of descriptors is missed.)
 *
 * What is reported is in use when the cycle began, and of that unreachable at the stop; or, without
 * one, known to be lost from earlier cycles.
 *
 * Why it needs the object map: by jemalloc's own records (malloc/metadata.h), read beside the
 * program and again where pages were written to, it would find the same.  But a block that a thread
 * keeps in its cache looks like one that is newly lost until all caches have been read in a stop.
 * Tried with python3 of four threads, every cycle had a second stop, with the map 2 of 28; what was
 * done in stops took 4.9 ms of CPU time instead of 0.3, and of 20 cycles on a busy machine 10 were
 * given up, of 30 with the map 2.  Nor would the map go: low rates of samples, clobberfree, and
 * jemallocs whose records are not known need it. */
#ifndef GC_ENGINE_WP_H
#define GC_ENGINE_WP_H

#include "gc/engine/engine.h"

extern const struct engine engine_wp;

#endif
