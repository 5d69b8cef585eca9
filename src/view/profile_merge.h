/* Profiles added up: of several processes of one program, or a later one less an earlier one of the
 * same process, as Go's `seconds` parameter wants it.  The arithmetic is that of pprof's Merge and
 * Scale. */
#ifndef VIEW_PROFILE_MERGE_H
#define VIEW_PROFILE_MERGE_H

#include "view/profile.h"

struct profile_term {
    const struct profile *profile;
    int sign; /* 1 or -1 */
};

/* The sum of the terms, `count` of them, at least one.  It has the sample types that all have, the
 * period of the first, the time of the last, and the first's default sample type.  The same code in
 * modules that lie elsewhere is the same location; a sample whose values come to 0 is left out.
 * False: no memory, or they have no sample type in common; then `sum` is empty.  The terms may go
 * afterwards.  Any thread. */
bool profile_merge(struct profile *sum, const struct profile_term *terms, size_t count);

#endif
