#include "gc/ask/graph.h"

#include "base/os.h"
#include "gc/mark/mark.h"
#include "gc/roots/roots.h"
#include "gc/sys/fault.h"
#include "gc/sys/pagemap.h"
#include "heap/extents.h"

#include <sys/mman.h>

void *graph_table(uint64_t bytes)
{
    return own_map_as(os_page_up(bytes + 1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE,
                      0);
}

const char *graph_build(struct graph *graph, const struct ask *ask)
{
    const struct heap_index *index = ask->index;
    uint64_t count = 0;
    graph->index = ask->index;
    graph->first =
        graph_table(((uint64_t)index->regions << INDEX_PAGES_SHIFT) * sizeof *graph->first);
    if (!graph->first)
        return "no memory to answer in";
    for (unsigned i = 0; i < extent_count; i++)
        for (uintptr_t page = extents[i].start; page < extents[i].end; page += 4096) {
            size_t number = index_number(index, page);
            const uint64_t *bits = &index->white[number * INDEX_PAGE_WORDS];
            if (!(bits[0] | bits[1] | bits[2] | bits[3]))
                continue;
            graph->first[number] = (uint32_t)count;
            for (unsigned word = 0; word < 4; word++)
                count += (unsigned)__builtin_popcountll(bits[word]);
        }
    graph->count = (uint32_t)count;
    return count < UINT32_MAX ? NULL : "more than 4 billion blocks";
}

/* Of the words in [start, end), aligned, those that may be pointers. */
static NO_SANITIZE bool look_at(const struct graph_look *look, uintptr_t start, uintptr_t end)
{
    const struct heap_index *index = look->graph->index;
    for (uintptr_t at = start; at < end; at += sizeof(uintptr_t)) {
        uintptr_t word = fault_load((const uintptr_t *)at);
        if (word - index->lo < index->span && !look->word(look->ctx, at, word))
            return false;
    }
    return true;
}

struct sparse {
    const struct graph_look *look;
    bool ended;
};

static void look_at_written(void *ctx, uintptr_t start, uintptr_t end)
{
    struct sparse *sparse = ctx;
    sparse->ended = sparse->ended || !look_at(sparse->look, start, end);
}

void graph_words(const struct graph_look *look, uintptr_t block, size_t size)
{
    struct sparse sparse = {look, false};
    uintptr_t first_page = (block + 4095) & ~(uintptr_t)4095;
    uintptr_t last_page = (block + size) & ~(uintptr_t)4095;
    if (size < MARK_SPARSE_BYTES) {
        look_at(look, block, block + size);
        return;
    }
    look_at_written(&sparse, block, first_page);
    pagemap_each_written(first_page, last_page, look_at_written, &sparse);
    look_at_written(&sparse, last_page, block + size);
}

struct visit {
    struct mark_visit visit;
    const struct graph_look *look;
};

static void visit_words(struct mark_visit *mark_visit, uintptr_t start, uintptr_t end)
{
    look_at(((struct visit *)mark_visit)->look, start, end);
}

static bool visit_stack(struct mark_visit *mark_visit, uintptr_t block)
{
    const struct graph_look *look = ((struct visit *)mark_visit)->look;
    size_t size;
    if (graph_block(look->graph, block, &size) != block)
        return false;
    look->stack(look->ctx, block);
    return true;
}

bool graph_roots(const struct graph_look *look)
{
    struct visit visit = {{visit_words, visit_stack}, look};
    struct mark mark = {.index = look->graph->index, .visit = &visit.visit};
    struct roots_size size;
    return roots_mark(&mark, &size);
}
