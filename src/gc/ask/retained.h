/* What would go with each call site's blocks: what they dominate (dominators.h).
 *
 * Where each block is sampled it is exact: of a site's blocks those count that no other of them
 * dominates, so that a list counts once.
 *
 * Else it is an estimate.  A sample stands for others, but not for others that hold as much: of a
 * list's nodes each holds those behind it.  So sampled blocks are taken together with those above
 * them that they are links of a chain or tree with: the nearest of the same size among three
 * dominators, if at least half of what that holds hangs on such blocks.  Such a group counts once,
 * for what its highest block holds, and stands for others by the chance that one of its blocks had
 * to be sampled (Horvitz-Thompson): a list is all but certain to be seen, of single blocks one of
 * many is. */
#ifndef GC_ASK_RETAINED_H
#define GC_ASK_RETAINED_H

#include "gc/ask/ask.h"

/* "retained": a record MD_ANSWER_HEAP, and an MD_ANSWER_SITE for each stack with live samples. */
ask_fn retained_answer;

#endif
