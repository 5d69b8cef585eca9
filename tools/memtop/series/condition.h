/* A condition on two profiles, as --fail-if has it:
 *
 *   TYPE > NUMBER     what B has is more than that: inuse_space > 100MB, alloc_objects > 1000000
 *   TYPE > +NUMBER    it is more than A has by more than that: inuse_space > +5MB
 *   TYPE > +N%        the same as a share of what A has: inuse_space > +10%
 *
 * TYPE is a sample type; numbers are sizes as in MEMDEBUG.  Pure. */
#ifndef MEMTOP_CONDITION_H
#define MEMTOP_CONDITION_H

#include "view/profile_diff.h"

#define CONDITION_TYPE_SIZE 64
#define CONDITION_ACCEPTED                                                                         \
    "as 'inuse_space > +10%', 'inuse_space > +5MB', 'leak_space > 0' or 'alloc_objects > 1000000'"

enum condition_bound { CONDITION_VALUE, CONDITION_MORE, CONDITION_SHARE };

struct condition {
    char type[CONDITION_TYPE_SIZE];
    enum condition_bound bound;
    double number; /* a share in percent */
    bool has_unit; /* the number has a unit of bytes */
};

/* False: it is none, and `condition` is undefined. */
bool condition_read(const char *text, struct condition *condition);

enum condition_state {
    CONDITION_NOT,
    CONDITION_UNCERTAIN, /* by the estimates it would hold, but the growth may be chance */
    CONDITION_HOLDS
};
enum condition_state condition_look(const struct condition *condition,
                                    const struct sampling_sum side[DIFF_SIDES]);

#endif
