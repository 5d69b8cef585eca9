/* A profile as the text that Go writes with debug=1, and gperftools before it.  pprof reads it. */
#ifndef MEMTOP_LEGACY_H
#define MEMTOP_LEGACY_H

#include "view/profile.h"

#include <stdio.h>

/* `name` is the kind's.  Of the heap each row has what is in use and, in brackets, what was
 * allocated: unbiased estimates, as in the profile, and not counts of samples, as Go's are; the
 * first line says so to pprof (@ heapprofile, not @ heap/RATE), which scales Go's.  Of other kinds
 * a row has the default sample type.  Greatest first.  False: no memory. */
bool legacy_write(const struct profile *profile, const char *name, FILE *out);

#endif
