/* The heap as a graph, for questions: blocks are numbered in order of address, and what leads from
 * one to another, or from a root to one, is read from their words as a mark reads them.
 *
 * In the copy, by one task. */
#ifndef GC_ASK_GRAPH_H
#define GC_ASK_GRAPH_H

#include "gc/ask/ask.h"
#include "gc/mark/heap_index.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct graph {
    struct heap_index *index;
    uint32_t *first; /* for each page of the index that has a block: the number of its first one */
    uint32_t count;  /* of blocks */
};

/* NULL, or why not. */
const char *graph_build(struct graph *graph, const struct ask *ask);

/* Memory for tables: zeros, of which only what is written to is there.  NULL: none. */
void *graph_table(uint64_t bytes);

/* The block of the graph that `address` points at or into, its size in *size; 0: none. */
static ALWAYS_INLINE uintptr_t graph_block(const struct graph *graph, uintptr_t address,
                                           size_t *size)
{
    uintptr_t block = heap_index_resolve(graph->index, address, size);
    return block && *index_white(graph->index, block) & index_white_bit(block) ? block : 0;
}

/* Its number. */
static ALWAYS_INLINE uint32_t graph_number(const struct graph *graph, uintptr_t block)
{
    size_t page = index_number(graph->index, block);
    const uint64_t *bits = &graph->index->white[page * INDEX_PAGE_WORDS];
    unsigned granule = block >> GRANULE_SHIFT & 255;
    uint32_t number = graph->first[page];
    for (unsigned i = 0; i < granule / 64; i++)
        number += (unsigned)__builtin_popcountll(bits[i]);
    return number +
           (unsigned)__builtin_popcountll(bits[granule / 64] & (index_white_bit(block) - 1));
}

/* Who looks at words: `at` is the address of each that may be a pointer, `word` what it says.
 * False: nothing more is wanted. */
struct graph_look {
    const struct graph *graph;
    bool (*word)(void *ctx, uintptr_t at, uintptr_t word);
    /* A block that is a stack is alive from the place in use on, and not below: it is reached, and
     * of its words those that count are roots. */
    void (*stack)(void *ctx, uintptr_t block);
    void *ctx;
};
/* All roots.  False: /proc/self/maps cannot be read, or no memory. */
bool graph_roots(const struct graph_look *look);
/* The words of a block, in order; as long as more is wanted. */
void graph_words(const struct graph_look *look, uintptr_t block, size_t size);

#endif
