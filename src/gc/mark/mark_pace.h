/* How much of the machine a mark takes beside the program: `gccpu`, and less where the program uses
 * all CPUs.  By priority, and by sleeps, as priority alone does not see to it: the kernel may leave
 * two threads of the program on one CPU and the marker alone on the other for all of a cycle. */
#ifndef GC_MARK_MARK_PACE_H
#define GC_MARK_MARK_PACE_H

#include "gc/mark/marker.h"

#include <stdbool.h>
#include <stdint.h>

/* The program waits for the mark, at its end or in a stop, so the mark yields to nobody.  Set by
 * the tracer thread before any marker runs, and by an engine's task before it marks. */
extern bool mark_hurries;

/* Percent of one CPU that `gccpu` comes to, of so many. */
uint64_t mark_share_percent(unsigned cpus);
/* How much nicer than the program the first marker has to run to keep to `gccpu`. */
int mark_nice(void);
/* The first marker, now and then: sleeps where the program runs and it has had its share of that.
 */
void mark_pace(struct marker *marker);

#endif
