#include "view/top.h"

#include "view/sampling.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A function, or all of a module that has no symbols. */
struct node {
    const char *name;
    int64_t flat, cum;
    double flat_variance, cum_variance;
    uint32_t seen; /* the last sample that was added to cum, from 1; 0: none */
    bool kept;     /* counts in the next add_up */
};

/* A call from one node to another. */
struct edge {
    uint32_t to;
    uint32_t seen; /* as in node, of `weight` */
    int64_t weight;
    bool inlined; /* in all samples */
};

struct graph {
    const struct profile *profile;
    int index;
    struct sampling sampling; /* of `index` */
    struct node *nodes;
    size_t node_count, node_room;
    struct edge *edges;
    size_t edge_count, edge_room;
    struct pair_map edge_index; /* (from, to) -> edge */
    uint32_t *frame_nodes;      /* the node of each frame of each location */
    size_t *location_first;     /* by location: its first in frame_nodes; one more at the end */
};

static int64_t add(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b); /* wraps as Go's */
}

static int64_t magnitude(int64_t v)
{
    return v < 0 ? (int64_t)(0 - (uint64_t)v) : v;
}

/* Go's int64(float64(total) * fraction). */
static int64_t share(int64_t total, double fraction)
{
    double v = (double)total * fraction;
    return v >= 9.2e18 || v <= -9.2e18 ? INT64_MAX : magnitude((int64_t)v);
}

static const char *module_name(struct string_pool *names, const char *file)
{
    if (!*file)
        return "<unknown>";
    size_t end = strlen(file);
    while (end > 1 && file[end - 1] == '/')
        end--;
    size_t start = end;
    while (start && file[start - 1] != '/')
        start--;
    char text[512];
    snprintf(text, sizeof text, "[%.*s]", (int)(end - start), file + start);
    return string_pool_add(names, text);
}

/* The node of one frame.  Frames of one name are one node; without a name, those of one module.
 * False: no memory. */
static bool find_node(struct graph *g, struct pair_map *index, struct string_pool *names,
                      const struct profile_location *l, const struct profile_line *line,
                      uint32_t *out)
{
    const struct profile_function *f = line ? &g->profile->functions[line->function] : NULL;
    const char *file = l->mapping == PROFILE_NONE ? "" : g->profile->mappings[l->mapping].file;
    bool named = f && *f->name;
    uint32_t *slot = named ? pair_map_put(index, (uint64_t)(uintptr_t)f->name, 0)
                           : pair_map_put(index, *file ? (uint64_t)(uintptr_t)file : 0,
                                          1 + (f ? (uint64_t)f->start_line : 0));
    if (!slot)
        return false;
    if (*slot == PAIR_MAP_NONE) {
        const char *name = named ? f->name : module_name(names, file);
        if (!name || g->node_count >= PROFILE_NONE ||
            !array_reserve(&g->nodes, &g->node_room, g->node_count + 1, sizeof *g->nodes))
            return false;
        *slot = (uint32_t)g->node_count;
        g->nodes[g->node_count++] = (struct node){.name = name, .kept = true};
    }
    *out = *slot;
    return true;
}

static bool create_nodes(struct graph *g, struct string_pool *names)
{
    const struct profile *p = g->profile;
    struct pair_map index = {0};
    size_t frames = 0, at = 0;
    for (size_t i = 0; i < p->location_count; i++)
        frames += p->locations[i].line_count ? p->locations[i].line_count : 1;
    g->frame_nodes = calloc(frames + 1, sizeof *g->frame_nodes);
    g->location_first = calloc(p->location_count + 1, sizeof *g->location_first);
    bool done = g->frame_nodes && g->location_first;
    for (size_t i = 0; done && i < p->location_count; i++) {
        const struct profile_location *l = &p->locations[i];
        g->location_first[i] = at;
        if (!l->line_count)
            done = find_node(g, &index, names, l, NULL, &g->frame_nodes[at++]);
        for (uint32_t k = 0; done && k < l->line_count; k++)
            done =
                find_node(g, &index, names, l, &p->lines[l->line_first + k], &g->frame_nodes[at++]);
    }
    if (done)
        g->location_first[p->location_count] = at;
    pair_map_fini(&index);
    return done;
}

static bool add_edge(struct graph *g, uint32_t from, uint32_t to, int64_t weight, bool inlined,
                     uint32_t sample)
{
    uint32_t *slot = pair_map_put(&g->edge_index, from, to);
    if (!slot)
        return false;
    if (*slot == PAIR_MAP_NONE) {
        if (g->edge_count >= PROFILE_NONE ||
            !array_reserve(&g->edges, &g->edge_room, g->edge_count + 1, sizeof *g->edges))
            return false;
        *slot = (uint32_t)g->edge_count;
        g->edges[g->edge_count++] = (struct edge){.to = to, .inlined = true};
    }
    struct edge *e = &g->edges[*slot];
    if (e->seen == sample)
        return true;
    e->seen = sample;
    e->weight = add(e->weight, weight);
    e->inlined = e->inlined && inlined;
    return true;
}

/* Adds all samples up anew over the nodes that are kept.  A sample whose leaf is not kept adds to
 * no flat.  Returns how many nodes have a value, -1: no memory. */
static int64_t add_up(struct graph *g)
{
    const struct profile *p = g->profile;
    for (size_t i = 0; i < g->node_count; i++)
        g->nodes[i] = (struct node){.name = g->nodes[i].name, .kept = g->nodes[i].kept};
    g->edge_count = 0;
    pair_map_clear(&g->edge_index);

    for (uint32_t s = 0; s < p->sample_count; s++) {
        const struct profile_sample *sample = &p->samples[s];
        int64_t value = p->values[s * p->type_count + (size_t)g->index];
        uint32_t parent = PROFILE_NONE;
        bool residual = false;
        if (!value)
            continue;
        double variance = sampling_variance(&g->sampling, s);
        for (uint32_t i = sample->location_count; i-- > 0;) {
            uint32_t location = p->location_ids[sample->location_first + i];
            size_t first = g->location_first[location], last = g->location_first[location + 1];
            for (size_t k = last; k-- > first;) {
                uint32_t number = g->frame_nodes[k];
                struct node *n = &g->nodes[number];
                if (!n->kept) {
                    residual = true;
                    continue;
                }
                if (n->seen != s + 1) {
                    n->seen = s + 1;
                    n->cum = add(n->cum, value);
                    n->cum_variance += variance;
                }
                if (parent != PROFILE_NONE && parent != number &&
                    !add_edge(g, parent, number, value, k + 1 != last, s + 1))
                    return -1;
                parent = number;
                residual = false;
            }
        }
        if (parent != PROFILE_NONE && !residual) {
            g->nodes[parent].flat = add(g->nodes[parent].flat, value);
            g->nodes[parent].flat_variance += variance;
        }
    }
    int64_t count = 0;
    for (size_t i = 0; i < g->node_count; i++)
        count += g->nodes[i].flat || g->nodes[i].cum;
    return count;
}

/* What percentages are of: all samples or, in a diff, those of the base. */
static int64_t total_of(const struct profile *p, int index)
{
    int64_t total = 0, base = 0;
    for (size_t s = 0; s < p->sample_count; s++) {
        int64_t value = magnitude(p->values[s * p->type_count + (size_t)index]);
        total = add(total, value);
        for (uint32_t k = 0; k < p->samples[s].label_count; k++) {
            const struct profile_label *label = &p->labels[p->samples[s].label_first + k];
            if (strcmp(label->key, "pprof::base") == 0 && strcmp(label->text, "true") == 0) {
                base = add(base, value);
                break;
            }
        }
    }
    return base > 0 ? base : total;
}

/* By value, then name, then the other value; the node's number makes the order total. */
struct order {
    const struct node *node;
    size_t number;
};

static int compare(const struct order *x, const struct order *y, bool cum)
{
    const struct node *a = x->node, *b = y->node;
    int64_t u = magnitude(cum ? a->cum : a->flat), v = magnitude(cum ? b->cum : b->flat);
    if (u != v)
        return u > v ? -1 : 1;
    int names = strcmp(a->name, b->name);
    if (names)
        return names;
    u = magnitude(cum ? a->flat : a->cum);
    v = magnitude(cum ? b->flat : b->cum);
    if (u != v)
        return u > v ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static int compare_flat(const void *a, const void *b)
{
    return compare(a, b, false);
}

static int compare_cum(const void *a, const void *b)
{
    return compare(a, b, true);
}

static struct order *sorted_nodes(const struct graph *g, bool cum, size_t *count)
{
    struct order *order = calloc(g->node_count + 1, sizeof *order);
    *count = 0;
    if (!order)
        return NULL;
    for (size_t i = 0; i < g->node_count; i++)
        if (g->nodes[i].flat || g->nodes[i].cum)
            order[(*count)++] = (struct order){&g->nodes[i], i};
    qsort(order, *count, sizeof *order, cum ? compare_cum : compare_flat);
    return order;
}

/* Leaves out nodes that are below node_fraction.  Returns the cutoff for edges; -1: no memory. */
static int64_t drop_small(struct top *top, struct graph *g, const struct top_options *options)
{
    int64_t count = add_up(g), sum = 0, kept = 0;
    for (size_t i = 0; i < g->node_count; i++)
        sum = add(sum, g->nodes[i].flat);
    int64_t cutoff = share(sum, options->node_fraction);
    if (count < 0)
        return -1;
    if (cutoff > 0) {
        for (size_t i = 0; i < g->node_count; i++) {
            struct node *n = &g->nodes[i];
            n->kept = (n->flat || n->cum) && magnitude(n->cum) >= cutoff;
            kept += n->kept;
        }
        if (kept != count) {
            top->dropped = (size_t)(count - kept);
            count = add_up(g);
            if (count < 0)
                return -1;
        }
    }
    top->node_count = (size_t)count;
    return share(sum, options->edge_fraction);
}

static bool limit_rows(struct graph *g, const struct top_options *options)
{
    size_t count;
    struct order *order = sorted_nodes(g, options->cum, &count);
    if (!order)
        return false;
    bool again = options->count && count > options->count;
    if (again) {
        for (size_t i = 0; i < g->node_count; i++)
            g->nodes[i].kept = false;
        for (size_t i = 0; i < options->count; i++)
            g->nodes[order[i].number].kept = true;
    }
    free(order);
    return !again || add_up(g) >= 0;
}

static bool fill_rows(struct top *top, struct graph *g, const struct top_options *options,
                      int64_t edge_cutoff)
{
    size_t count;
    struct order *order = sorted_nodes(g, options->cum, &count);
    bool *calls[2] = {calloc(g->node_count + 1, 1), calloc(g->node_count + 1, 1)};
    top->rows = calloc(count + 1, sizeof *top->rows);
    bool done = order && calls[0] && calls[1] && top->rows;
    for (size_t i = 0; done && i < g->edge_count; i++)
        if (magnitude(g->edges[i].weight) >= edge_cutoff)
            calls[g->edges[i].inlined][g->edges[i].to] = true;
    for (size_t i = 0; done && i < count; i++) {
        const struct node *n = order[i].node;
        top->rows[i] = (struct top_row){n->name,
                                        n->flat,
                                        n->cum,
                                        n->flat_variance,
                                        n->cum_variance,
                                        !calls[1][order[i].number]  ? TOP_NOT_INLINED
                                        : calls[0][order[i].number] ? TOP_PARTLY_INLINED
                                                                    : TOP_INLINED};
    }
    top->row_count = done ? count : 0;
    free(order);
    free(calls[0]);
    free(calls[1]);
    return done;
}

bool top_build(struct top *top, const struct profile *p, int index,
               const struct top_options *options)
{
    *top = (struct top){.type = "", .unit = "", .output_unit = ""};
    if (index < 0 || (size_t)index >= p->type_count)
        return false;
    struct graph g = {.profile = p, .index = index};
    g.sampling = sampling_of(p, index);
    top->errors = options->errors && g.sampling.known == SAMPLING_ESTIMATES;
    top->type = p->types[index].type;
    top->unit = p->types[index].unit;
    top->total = total_of(p, index);
    top->dropped_cum = share(top->total, options->node_fraction);
    bool done = create_nodes(&g, &top->names);
    if (done) {
        int64_t edge_cutoff = drop_small(top, &g, options);
        done =
            edge_cutoff >= 0 && limit_rows(&g, options) && fill_rows(top, &g, options, edge_cutoff);
    }
    free(g.nodes);
    free(g.edges);
    free(g.frame_nodes);
    free(g.location_first);
    pair_map_fini(&g.edge_index);
    top_select_unit(top);
    return done;
}

void top_fini(struct top *top)
{
    free(top->rows);
    string_pool_fini(&top->names);
    *top = (struct top){.type = "", .unit = "", .output_unit = ""};
}
