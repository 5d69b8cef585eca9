#include "gc/ask/dominators.h"

/* Of the vertices from v up to below the first whose number is at most `above`: has v's label be
 * the least of their labels, and its ancestor that first one.  The way up is kept in idom[], which
 * is not in use yet: it may be as long as a list in the heap. */
static void compress(struct dominators *d, uint32_t v, uint32_t above)
{
    uint32_t *way = d->idom, length = 0;
    for (; d->ancestor[v] > above; v = d->ancestor[v])
        way[length++] = v;
    while (length) {
        uint32_t w = way[--length];
        if (d->label[v] < d->label[w])
            d->label[w] = d->label[v];
        d->ancestor[w] = d->ancestor[v];
        v = w;
    }
}

/* The least number from which a path leads to v whose vertices between are all greater than v. */
static void find_semi(struct dominators *d, uint32_t v)
{
    uint32_t semi = d->semi[v];
    if (d->parent[v] < semi)
        semi = d->parent[v];
    for (uint32_t i = d->start[v]; semi && i < d->start[v + 1]; i++) {
        uint32_t from = d->pred[i];
        if (from > v) {
            compress(d, from, v);
            from = d->label[from];
        }
        if (from < semi)
            semi = from;
    }
    d->semi[v] = d->label[v] = semi;
}

void dominators_find(struct dominators *d)
{
    for (uint32_t v = 0; v <= d->count; v++)
        d->ancestor[v] = d->parent[v];
    for (uint32_t v = d->count; v > 0; v--)
        find_semi(d, v);
    d->idom[0] = 0;
    for (uint32_t v = 1; v <= d->count; v++) {
        uint32_t idom = d->parent[v];
        while (idom > d->semi[v])
            idom = d->idom[idom];
        d->idom[v] = idom;
    }
}
