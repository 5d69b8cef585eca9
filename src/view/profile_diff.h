/* Two profiles side by side: what each call site has in one and in the other.
 *
 * Functions are told apart by name, code without a name by its place in its file, so the two may be
 * of different runs, and of different builds.
 *
 * Errors are those of two profiles whose samples were drawn independently.  Where both are of one
 * process they share samples, and the difference is known better than is told here.
 *
 * Memory: malloc.  Each object is used by one thread at a time. */
#ifndef VIEW_PROFILE_DIFF_H
#define VIEW_PROFILE_DIFF_H

#include "view/leaks.h"
#include "view/sampling.h"

enum { DIFF_A, DIFF_B, DIFF_SIDES };

struct profile_diff_row {
    const char *name; /* the call site; by size a number of bytes, "-" without */
    struct sampling_sum side[DIFF_SIDES];
};

struct profile_diff {
    struct profile_diff_row *rows; /* by absolute difference, the greatest first */
    size_t row_count, row_room;
    struct sampling_sum total[DIFF_SIDES];
    struct string_pool strings;
};

/* `index`: the sample type in each; by what (not LEAKS_BY_TYPE: profiles have no types of C++).
 * By stack, function and module plumbing (plumbing.h) is looked through, but for a stack that has
 * nothing else.  False: no memory.  profile_diff_fini may follow either way. */
bool profile_diff_build(struct profile_diff *diff, const struct profile *const of[DIFF_SIDES],
                        const int index[DIFF_SIDES], enum leaks_by by);
void profile_diff_fini(struct profile_diff *diff);

/* b - a, with the variance of that. */
struct sampling_sum profile_diff_of(const struct sampling_sum side[DIFF_SIDES]);
/* Whether a difference is more than sampling makes by chance: above three standard errors.  One
 * whose error is not known counts. */
bool profile_diff_certain(const struct sampling_sum *difference);

#endif
