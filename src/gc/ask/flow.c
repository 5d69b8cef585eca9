#include "gc/ask/flow.h"

#include "base/compiler.h"
#include "base/os.h"
#include "gc/mark/mark.h"
#include "gc/sys/fault.h"
#include "gc/sys/pagemap.h"

#include <string.h>

static const char no_memory[] = "no memory to answer in";

#define STACKS_MAX 4096 /* blocks that are stacks */
#define WINDOW ((uintptr_t)2 << 20)

struct search {
    struct flow *flow;
    uint32_t *parent, *start, *pred; /* as struct dominators has them */
    uint32_t *next;   /* by place: the word of the block that is to be looked at next */
    uint32_t *rooted; /* by number, a bit: a root leads there */
    uintptr_t *root;  /* those blocks */
    uint32_t roots;
    uintptr_t stack[STACKS_MAX];
    unsigned stacks;
    bool too_many_stacks;
    uint32_t from; /* of the second look: the place of the block at work */
    /* Which pages of a window of a large block have contents. */
    uintptr_t window;
    uint64_t written[WINDOW / 4096 / 64];
};

static void unmap(void *table, uint64_t bytes)
{
    own_forget(table, os_page_up(bytes + 1));
    os_munmap(table, os_page_up(bytes + 1));
}

/* ---- roots ---- */

static bool is_rooted(const struct search *search, uint32_t number)
{
    return search->rooted[number / 32] >> number % 32 & 1;
}

static bool note_root(void *ctx, uintptr_t at, uintptr_t word)
{
    struct search *search = ctx;
    size_t size;
    uintptr_t block = graph_block(&search->flow->graph, word, &size);
    (void)at;
    if (!block)
        return true;
    uint32_t number = graph_number(&search->flow->graph, block);
    if (is_rooted(search, number))
        return true;
    search->rooted[number / 32] |= UINT32_C(1) << number % 32;
    search->root[search->roots++] = block;
    return true;
}

static bool is_stack(const struct search *search, uintptr_t block)
{
    for (unsigned i = 0; i < search->stacks; i++)
        if (search->stack[i] == block)
            return true;
    return false;
}

static void note_stack(void *ctx, uintptr_t block)
{
    struct search *search = ctx;
    note_root(ctx, 0, block);
    if (search->stacks == STACKS_MAX)
        search->too_many_stacks = true;
    else
        search->stack[search->stacks++] = block;
}

/* ---- the search ---- */

static void note_written(void *ctx, uintptr_t start, uintptr_t end)
{
    struct search *search = ctx;
    for (uintptr_t page = start; page < end; page += 4096) {
        size_t i = (page - search->window) / 4096;
        search->written[i / 64] |= UINT64_C(1) << i % 64;
    }
}

/* The first word of a large block from `at` on whose page has contents, or `end`. */
static uintptr_t skip_empty(struct search *search, uintptr_t at, uintptr_t end)
{
    while (at < end) {
        if (at - search->window >= WINDOW) {
            search->window = at & ~(WINDOW - 1);
            memset(search->written, 0, sizeof search->written);
            pagemap_each_written(search->window, search->window + WINDOW, note_written, search);
        }
        size_t i = (at - search->window) / 4096;
        if (search->written[i / 64] >> i % 64 & 1)
            return at;
        at = (at & ~(uintptr_t)4095) + 4096;
    }
    return end;
}

/* Whether a word of block `from` to block `to` is one that has to be kept. */
static bool is_kept(const struct search *search, uint32_t from, uint32_t to, uint32_t to_number)
{
    return to != from && search->parent[to] != from && !is_rooted(search, to_number);
}

static void enter(struct search *search, uintptr_t block, uint32_t number, uint32_t parent)
{
    struct flow *flow = search->flow;
    uint32_t place = ++flow->count;
    flow->order[number] = place;
    flow->block[place] = block;
    search->parent[place] = parent;
}

/* Looks into the block at `place` from where that was left off; enters the first block that has not
 * been met.  False: there is none. */
static NO_SANITIZE bool go_on(struct search *search, uint32_t place)
{
    struct flow *flow = search->flow;
    const struct heap_index *index = flow->graph.index;
    uintptr_t block = flow->block[place];
    size_t size = 0;
    graph_block(&flow->graph, block, &size);
    uintptr_t end = block + size, at = block + (uintptr_t)search->next[place] * 8;
    if (search->stacks && is_stack(search, block))
        return false;
    for (; at < end; at += 8) {
        if (size >= MARK_SPARSE_BYTES && (at = skip_empty(search, at, end)) == end)
            break;
        uintptr_t word = fault_load((const uintptr_t *)at);
        size_t target_size;
        uintptr_t target =
            word - index->lo < index->span ? graph_block(&flow->graph, word, &target_size) : 0;
        if (!target)
            continue;
        uint32_t number = graph_number(&flow->graph, target), met = flow->order[number];
        if (!met) {
            search->next[place] = (uint32_t)((at - block) / 8 + 1);
            enter(search, target, number, place);
            return true;
        }
        if (is_kept(search, place, met, number)) {
            search->start[met + 1]++;
            flow->edges++;
        }
    }
    return false;
}

static void search_from(struct search *search, uintptr_t block)
{
    struct flow *flow = search->flow;
    uint32_t number = graph_number(&flow->graph, block);
    if (flow->order[number])
        return;
    enter(search, block, number, 0);
    for (uint32_t place = flow->count; place;)
        place = go_on(search, place) ? flow->count : search->parent[place];
}

/* ---- what leads to each block ---- */

/* Beginning at start[v], which moves on to start[v + 1] as it was. */
static bool keep_edge(void *ctx, uintptr_t at, uintptr_t word)
{
    struct search *search = ctx;
    struct flow *flow = search->flow;
    size_t size;
    uintptr_t target = graph_block(&flow->graph, word, &size);
    (void)at;
    if (!target)
        return true;
    uint32_t number = graph_number(&flow->graph, target), met = flow->order[number];
    /* What the heap lies in may be shared with others, and has changed: no more than was counted.
     */
    if (is_kept(search, search->from, met, number) && search->start[met] < flow->edges)
        search->pred[search->start[met]++] = search->from;
    return true;
}

static const char *find_edges(struct search *search)
{
    struct flow *flow = search->flow;
    struct graph_look look = {&flow->graph, keep_edge, NULL, search};
    if (flow->edges >= UINT32_MAX)
        return "more than 4 billion pointers";
    search->pred = graph_table(flow->edges * sizeof *search->pred);
    if (!search->pred)
        return no_memory;
    for (uint32_t v = 1; v <= flow->count; v++)
        search->start[v + 1] += search->start[v];
    for (uint32_t v = 1; v <= flow->count; v++) {
        size_t size = 0;
        search->from = v;
        graph_block(&flow->graph, flow->block[v], &size);
        if (!search->stacks || !is_stack(search, flow->block[v]))
            graph_words(&look, flow->block[v], size);
    }
    for (uint32_t v = flow->count + 1; v > 0; v--)
        search->start[v] = search->start[v - 1];
    search->start[1] = 0;
    return NULL;
}

/* ---- all of it ---- */

static const char *find_dominators(struct search *search)
{
    struct flow *flow = search->flow;
    uint64_t bytes = (flow->count + 1) * sizeof(uint32_t);
    struct dominators tree = {.count = flow->count,
                              .parent = search->parent,
                              .start = search->start,
                              .pred = search->pred,
                              .semi = graph_table(bytes),
                              .label = graph_table(bytes),
                              .ancestor = graph_table(bytes),
                              .idom = graph_table(bytes)};
    if (!tree.semi || !tree.label || !tree.ancestor || !tree.idom)
        return no_memory;
    for (uint32_t v = 1; v <= flow->count; v++)
        tree.semi[v] = is_rooted(search, graph_number(&flow->graph, flow->block[v])) ? 0 : v;
    dominators_find(&tree);
    unmap(tree.semi, bytes);
    unmap(tree.label, bytes);
    unmap(tree.ancestor, bytes);
    flow->idom = tree.idom;
    return NULL;
}

const char *flow_find(struct flow *flow, const struct ask *ask)
{
    static struct search search;
    const char *reason = graph_build(&flow->graph, ask);
    uint64_t blocks = (uint64_t)flow->graph.count + 2, words = blocks * sizeof(uint32_t);
    if (!reason)
        reason = ask->room_for(8 * words);
    if (reason)
        return reason;
    search.flow = flow;
    flow->order = graph_table(words);
    flow->block = graph_table(2 * words);
    search.parent = graph_table(words);
    search.next = graph_table(words);
    search.start = graph_table(words);
    search.rooted = graph_table(blocks / 8 + 8);
    search.root = graph_table(2 * words);
    if (!flow->order || !flow->block || !search.parent || !search.next || !search.start ||
        !search.rooted || !search.root)
        return no_memory;
    struct graph_look look = {&flow->graph, note_root, note_stack, &search};
    if (!graph_roots(&look))
        return "/proc/self/maps cannot be read";
    if (search.too_many_stacks)
        return "more than 4096 stacks in the heap";
    for (uint32_t i = 0; i < search.roots; i++)
        search_from(&search, search.root[i]);
    unmap(search.root, 2 * words);
    unmap(search.next, words);
    if ((reason = ask->room_for((flow->edges + 4 * (uint64_t)flow->count) * sizeof(uint32_t))) ||
        (reason = find_edges(&search)) || (reason = find_dominators(&search)))
        return reason;
    unmap(search.pred, flow->edges * sizeof *search.pred);
    unmap(search.start, words);
    unmap(search.parent, words);
    return NULL;
}
