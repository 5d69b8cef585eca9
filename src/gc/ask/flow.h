/* The reachable heap in the order of a search in depth, with what leads to each block, as
 * dominators want it.
 *
 * 36 bytes a block, and 4 for each word that leads to a block but the one that led there first, and
 * but those from roots and to blocks that a root leads to.  Reads the heap twice. */
#ifndef GC_ASK_FLOW_H
#define GC_ASK_FLOW_H

#include "gc/ask/dominators.h"
#include "gc/ask/graph.h"

struct flow {
    struct graph graph;
    uint32_t *order;  /* by number (graph.h): its place in the search, from 1; 0: unreached */
    uintptr_t *block; /* by place: where it lies */
    uint32_t *idom;   /* by place: as struct dominators has it */
    uint32_t count;   /* blocks reached */
    uint64_t edges;   /* that were kept */
};

/* NULL, or why not. */
const char *flow_find(struct flow *flow, const struct ask *ask);

#endif
