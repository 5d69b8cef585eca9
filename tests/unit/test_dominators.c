/* gc/ask/dominators.c against the definition, on small random graphs, and on long ones for its
 * time. */
#include "gc/ask/dominators.h"
#include "tap.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL = 12, LONG = 200000 };

/* Whether v is reached from the root where `without` is taken out. */
static bool is_reached(bool edge[SMALL + 1][SMALL + 1], unsigned count, unsigned v,
                       unsigned without)
{
    bool seen[SMALL + 1] = {true};
    unsigned queue[SMALL + 1] = {0}, tail = 1;
    for (unsigned head = 0; head < tail; head++)
        for (unsigned to = 1; to <= count; to++)
            if (edge[queue[head]][to] && !seen[to] && to != without) {
                seen[to] = true;
                queue[tail++] = to;
            }
    return seen[v];
}

struct order {
    unsigned place[SMALL + 1], vertex[SMALL + 1], parent[SMALL + 1], count;
};

static void search(bool edge[SMALL + 1][SMALL + 1], unsigned count, unsigned from,
                   struct order *order)
{
    for (unsigned to = 1; to <= count; to++)
        if (edge[from][to] && !order->place[to]) {
            order->place[to] = ++order->count;
            order->vertex[order->count] = to;
            order->parent[order->count] = from ? order->place[from] : 0;
            search(edge, count, to, order);
        }
}

/* By their places, as the algorithm is given it. */
static void find(bool edge[SMALL + 1][SMALL + 1], const struct order *order,
                 uint32_t idom[SMALL + 1])
{
    uint32_t parent[SMALL + 1] = {0}, start[SMALL + 2] = {0}, pred[SMALL * SMALL + 1], count = 0;
    uint32_t semi[SMALL + 1], label[SMALL + 1], ancestor[SMALL + 1];
    for (uint32_t v = 1; v <= order->count; v++) {
        unsigned vertex = order->vertex[v];
        parent[v] = order->parent[v];
        semi[v] = edge[0][vertex] ? 0 : v;
        start[v] = count;
        for (uint32_t from = 1; from <= order->count; from++)
            if (edge[order->vertex[from]][vertex] && from != parent[v] && from != v)
                pred[count++] = from;
        start[v + 1] = count;
    }
    struct dominators d = {order->count, parent, start, pred, semi, label, ancestor, idom};
    dominators_find(&d);
}

static bool is_right(bool edge[SMALL + 1][SMALL + 1], unsigned count)
{
    struct order order = {0};
    uint32_t idom[SMALL + 1];
    search(edge, count, 0, &order);
    find(edge, &order, idom);
    for (uint32_t v = 1; v <= order.count; v++)
        for (uint32_t by = 1; by <= order.count; by++) {
            bool is = by == v || !is_reached(edge, count, order.vertex[v], order.vertex[by]);
            bool said = false;
            for (uint32_t up = v; up; up = idom[up])
                said |= up == by;
            if (is != said)
                return false;
        }
    return true;
}

static void test_small(void)
{
    unsigned wrong = 0;
    srand(7);
    for (int round = 0; round < 20000; round++) {
        bool edge[SMALL + 1][SMALL + 1] = {0};
        unsigned count = 1 + (unsigned)rand() % SMALL, edges = (unsigned)rand() % (3 * count);
        edge[0][1] = true;
        for (unsigned i = 0; i < edges; i++)
            edge[(unsigned)rand() % (count + 1)][1 + (unsigned)rand() % count] = true;
        wrong += !is_right(edge, count);
    }
    is(wrong, 0u, "20000 random graphs: what the definition says");
}

/* A list whose nodes all point back at its first: what is naive would take the square of it. */
static void test_long(bool both_ways)
{
    uint32_t *words = calloc(9 * (size_t)LONG + 64, sizeof *words);
    uint32_t *parent = words, *start = parent + LONG + 2, *semi = start + LONG + 2;
    uint32_t *label = semi + LONG + 2, *ancestor = label + LONG + 2, *idom = ancestor + LONG + 2;
    uint32_t *pred = idom + LONG + 2, edges = 0;
    for (uint32_t v = 1; v <= LONG; v++) {
        parent[v] = v - 1;
        semi[v] = v == 1 ? 0 : v;
        start[v] = edges;
        if (v == 2) /* the second one's: all behind it */
            for (uint32_t from = 3; from <= LONG; from++)
                pred[edges++] = from;
        else if (both_ways && v > 2 && v < LONG)
            pred[edges++] = v + 1;
        start[v + 1] = edges;
    }
    struct dominators d = {LONG, parent, start, pred, semi, label, ancestor, idom};
    dominators_find(&d);
    unsigned wrong = 0;
    for (uint32_t v = 1; v <= LONG; v++)
        wrong += idom[v] != v - 1;
    is(wrong, 0u, "a list of %d that points back%s", LONG, both_ways ? ", and both ways" : "");
    free(words);
}

int main(void)
{
    test_small();
    test_long(false);
    test_long(true);
    return tap_done();
}
