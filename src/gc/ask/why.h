/* Who holds a block: a shortest path from a root to it. */
#ifndef GC_ASK_WHY_H
#define GC_ASK_WHY_H

#include "gc/ask/ask.h"

/* "why ADDRESS...": a record MD_ANSWER_PATH for each of up to WHY_MAX addresses.  A search in
 * breadth over the heap, until all of them are reached: 16 bytes a block, and the time of a simple
 * mark. */
#define WHY_MAX 8
ask_fn why_answer;

#endif
