/* Who pins a process's slabs: buckets of kind pinned, which a process adds up when it is asked. */
#ifndef MEMTOP_PINS_H
#define MEMTOP_PINS_H

#include "source.h"

/* Asks a process that lives, and waits until it has told, at most `seconds`.  One without a thread
 * of ours tells in pieces, each when one of its own has allocated or freed 64 KiB.  The source is
 * polled, for `what` too, and has what was told last, if nothing comes.  0, or an errno value with
 * one line in `error`. */
int pins_fetch(struct source *source, unsigned what, double seconds, char error[VIEW_ERROR_SIZE]);
/* Why there is nothing of the kind in a snapshot, in a phrase; NULL: there may be. */
const char *pins_why_none(const struct snapshot *snap);

#endif
