#include "gc/ask/retained.h"

#include "base/compiler.h"
#include "gc/ask/answers.h"
#include "gc/ask/flow.h"
#include "segment/segment.h"

#define SMALLEST_BYTES 8 /* a block where nothing is set; all sizes are multiples of it */
#define LINK_STEPS 3     /* dominators that are looked at for the next one of the same size */
/* A class of which a live sample stands for less than this, in 1/1024, is sampled whole. */
#define WHOLE_WEIGHT (MD_WEIGHT_ONE + MD_WEIGHT_ONE / 16)

/* A live sample, as it was when it was looked at. */
struct sample {
    uint64_t key;   /* its stack, then where its group's head comes in the tree of dominators */
    uint32_t place; /* in the order of the search; 0: unreachable */
    uint32_t stack;
    uint32_t weight; /* in 1/1024 */
    uint32_t size;   /* in units of the smallest one */
};

struct retained {
    struct flow flow;
    uint64_t *held;    /* by place: bytes of all that it dominates, its own among them */
    uint64_t *chained; /* of that, what the nearest blocks of its size below it hold */
    uint32_t *head;    /* highest block of its group */
    uint32_t *members; /* of a head: blocks of its group */
    uint32_t *below;   /* blocks that it dominates, with itself */
    uint32_t *first;   /* where it comes in the tree of dominators; those it dominates follow */
    uint32_t *site;    /* its sample's stack, 0: it has none */
    uint8_t *class;
    bool chains[128]; /* classes of which not all blocks are sampled */
    struct sample *samples;
    uint32_t sample_count;
};

/* ---- samples ---- */

/* The table lies in shared memory and goes on changing: each record is read once. */
static bool read_samples(struct retained *r)
{
    const struct md_sample *table = segment_table(MD_SECTION_SAMPLES);
    const struct md_bucket *buckets = segment_table(MD_SECTION_BUCKETS);
    uint64_t count = segment_count(MD_SECTION_SAMPLES);
    uint64_t bucket_count = segment_count(MD_SECTION_BUCKETS);
    r->samples = graph_table(count * sizeof *r->samples);
    if (!r->samples)
        return false;
    for (uint64_t i = 0; i < count && i < UINT32_MAX; i++) {
        size_t size = 0;
        uint64_t block = __atomic_load_n(&table[i].addr, __ATOMIC_RELAXED);
        uint64_t weight = __atomic_load_n(&table[i].weight, __ATOMIC_RELAXED);
        uint32_t bucket = __atomic_load_n(&table[i].bucket, __ATOMIC_RELAXED);
        if (!block || bucket >= bucket_count || graph_block(&r->flow.graph, block, &size) != block)
            continue;
        struct sample *sample = &r->samples[r->sample_count++];
        sample->stack = __atomic_load_n(&buckets[bucket].stack, __ATOMIC_RELAXED);
        sample->weight = (uint32_t)MIN(MAX(weight, MD_WEIGHT_ONE), UINT32_MAX);
        sample->place = r->flow.order[graph_number(&r->flow.graph, block)];
        sample->size = (uint32_t)MIN(size / SMALLEST_BYTES, UINT32_MAX);
        if (!sample->place)
            continue;
        r->site[sample->place] = sample->stack;
        r->chains[r->class[sample->place]] |= sample->weight >= WHOLE_WEIGHT;
    }
    return true;
}

/* ---- the tree of dominators ---- */

static void find_held(struct retained *r)
{
    const uint32_t *idom = r->flow.idom;
    for (uint32_t v = r->flow.count; v > 0; v--) {
        size_t size = 0;
        graph_block(&r->flow.graph, r->flow.block[v], &size);
        r->class[v] = (uint8_t)object_class_of(size);
        r->held[v] += size;
        r->held[idom[v]] += r->held[v];
        r->below[v]++;
        r->below[idom[v]] += r->below[v];
    }
    /* `head` is of no use yet: how many of each one's have a place already. */
    for (uint32_t v = 1; v <= r->flow.count; v++) {
        r->first[v] = r->first[idom[v]] + 1 + r->head[idom[v]];
        r->head[idom[v]] += r->below[v];
    }
    for (uint32_t v = 0; v <= r->flow.count; v++)
        r->head[v] = v;
}

/* The nearest dominator of the same size, where that may be a link of the same chain; 0: none. */
static uint32_t link_of(const struct retained *r, uint32_t v)
{
    uint32_t above = r->flow.idom[v];
    if (!r->chains[r->class[v]])
        return 0;
    for (unsigned i = 0; above && i < LINK_STEPS; i++, above = r->flow.idom[above])
        if (r->class[above] == r->class[v])
            return r->site[above] && r->site[v] && r->site[above] != r->site[v] ? 0 : above;
    return 0;
}

static void find_groups(struct retained *r)
{
    for (uint32_t v = r->flow.count; v > 0; v--)
        r->chained[link_of(r, v)] += r->held[v];
    for (uint32_t v = 1; v <= r->flow.count; v++) {
        uint32_t above = link_of(r, v);
        if (above && r->chained[above] >= r->held[above] / 2)
            r->head[v] = r->head[above];
        r->members[r->head[v]]++;
    }
}

/* ---- sums ---- */

/* Heap sort by key: no recursion, no memory. */
static void sort(struct sample *samples, uint32_t count)
{
    for (uint32_t pass = count / 2 + count; pass-- > 1;) {
        uint32_t root = pass >= count ? pass - count : 0, end = pass >= count ? count : pass;
        if (pass < count) {
            struct sample swap = samples[0];
            samples[0] = samples[pass];
            samples[pass] = swap;
        }
        for (uint64_t child; (child = 2 * (uint64_t)root + 1) < end; root = (uint32_t)child) {
            if (child + 1 < end && samples[child + 1].key > samples[child].key)
                child++;
            if (samples[child].key <= samples[root].key)
                break;
            struct sample swap = samples[root];
            samples[root] = samples[child];
            samples[child] = swap;
        }
    }
}

/* The chance that of so many blocks, each sampled with the chance 1/weight, one is. */
static double chance(double weight, uint32_t blocks)
{
    double none = 1, factor = 1 - 1 / weight;
    for (; blocks; blocks >>= 1, factor *= factor)
        if (blocks & 1)
            none *= factor;
    return 1 - none;
}

/* One stack's samples, in the order of the tree: a group's head comes before what it dominates. */
static void tell_site(const struct retained *r, const struct sample *samples, uint32_t count)
{
    struct md_answer_site *site = answers_record(MD_ANSWER_SITE, sizeof *site);
    double retained = 0, own = 0;
    uint32_t behind = 0; /* of the tree: what the last group dominates ends there */
    if (!site)
        return;
    site->stack = samples->stack;
    site->samples = count;
    for (uint32_t i = 0; i < count; i++) {
        double weight = (double)samples[i].weight / MD_WEIGHT_ONE;
        double size = (double)samples[i].size * SMALLEST_BYTES;
        own += weight * size;
        site->own_variance += weight * (weight - 1) * size * size;
        site->objects += samples[i].weight;
        site->objects_variance += weight * (weight - 1);
        if (!samples[i].place)
            continue;
        uint32_t head = r->head[samples[i].place];
        if (r->first[head] < behind)
            continue; /* it goes with one that has been counted, or is that */
        double seen = chance(weight, r->members[head]), held = (double)r->held[head];
        behind = r->first[head] + r->below[head];
        retained += held / seen;
        site->retained_variance += (1 - seen) / (seen * seen) * held * held;
    }
    site->own_bytes = (uint64_t)own;
    site->retained_bytes = (uint64_t)MIN(retained, (double)r->held[0]);
}

static void tell(struct retained *r)
{
    struct md_answer_heap *heap = answers_record(MD_ANSWER_HEAP, sizeof *heap);
    if (heap) {
        heap->blocks = r->flow.count;
        heap->bytes = r->held[0];
        heap->edges = r->flow.edges;
    }
    for (uint32_t i = 0; i < r->sample_count; i++) {
        struct sample *sample = &r->samples[i];
        uint32_t place = sample->place ? r->first[r->head[sample->place]] : 0;
        sample->key = (uint64_t)sample->stack << 32 | place;
        if (heap)
            heap->samples += sample->place != 0;
    }
    sort(r->samples, r->sample_count);
    for (uint32_t i = 0, end; i < r->sample_count; i = end) {
        for (end = i + 1; end < r->sample_count && r->samples[end].stack == r->samples[i].stack;)
            end++;
        tell_site(r, &r->samples[i], end - i);
    }
}

const char *retained_answer(const struct ask *ask)
{
    static struct retained r;
    const char *reason = flow_find(&r.flow, ask);
    if (reason)
        return reason;
    uint64_t blocks = (uint64_t)r.flow.count + 1;
    if ((reason = ask->room_for(37 * blocks)))
        return reason;
    r.held = graph_table(blocks * sizeof *r.held);
    r.chained = graph_table(blocks * sizeof *r.chained);
    r.head = graph_table(blocks * sizeof *r.head);
    r.members = graph_table(blocks * sizeof *r.members);
    r.below = graph_table(blocks * sizeof *r.below);
    r.first = graph_table(blocks * sizeof *r.first);
    r.site = graph_table(blocks * sizeof *r.site);
    r.class = graph_table(blocks);
    if (!r.held || !r.chained || !r.head || !r.members || !r.below || !r.first || !r.site ||
        !r.class)
        return "no memory to answer in";
    find_held(&r);
    if (!read_samples(&r))
        return "no memory to answer in";
    find_groups(&r);
    tell(&r);
    return NULL;
}
