/* Asking a process for something: the one thing of memtop that writes to a segment.  A bit in the
 * control word, and a wake-up of whoever sleeps on it; then waiting until it says that it is done.
 */
#ifndef MEMTOP_ASK_H
#define MEMTOP_ASK_H

#include "source.h"

/* Has the process do a cycle, waits at most `seconds` for it, and copies its record, which may be a
 * skip.  0, or an errno value with one line in `error`. */
int ask_cycle(struct source *source, double seconds, struct md_cycle *cycle,
              char error[VIEW_ERROR_SIZE]);

/* Whether this target can be asked at all: 0, or an errno value with one line that says why not. */
int ask_possible(const struct target *target, char error[VIEW_ERROR_SIZE]);

#endif
