/* Which vertex of a graph stands on every path to another: the nearest such is its immediate
 * dominator.  What a vertex dominates goes with it.
 *
 * Semi-NCA (Georgiadis, Tarjan): as Lengauer and Tarjan's algorithm, with paths compressed and no
 * buckets.  Next to linear on the graphs that heaps are.
 *
 * Arithmetic only. */
#ifndef GC_ASK_DOMINATORS_H
#define GC_ASK_DOMINATORS_H

#include <stdint.h>

/* Vertices are numbered 1 to `count` as a search in depth meets them; 0 is the root of all.  Each
 * array has count + 1 elements, but for pred. */
struct dominators {
    uint32_t count;
    const uint32_t *parent; /* in the tree of that search */
    const uint32_t *start;  /* of a vertex's other predecessors in pred[]; up to start[v + 1], so
                               this one has an element more */
    const uint32_t *pred;
    uint32_t *semi; /* given: 0 for each that the root leads to, else the number itself */
    uint32_t *label, *ancestor; /* of its own */
    uint32_t *idom;             /* the answer; less than the number itself.  Of the root 0 */
};

void dominators_find(struct dominators *d);

#endif
