/* Leaks of every shape, blocks of every kind, and pointers into and just outside of them. */
#include "truth.h"

#include <malloc.h>
#include <stdlib.h>

static void *volatile held;

/* --------------------------------------------------------------- which part is pointed at */

static void interior_body(void)
{
    held = (char *)object(200, LIVE) + 40;
}

static void odd_body(void)
{
    held = (char *)object(200, LIVE) + 37;
}

static void last_byte_body(void)
{
    held = (char *)object(96, LIVE) + 95;
}

/* One behind the end, of a block that fills its size class: it is not inside. */
static void end_body(void)
{
    held = (char *)object(4 << 20, DIRECT) + (4 << 20);
}

/* Of a request smaller than its size class: the block as the allocator has it reaches further. */
static void slack_body(void)
{
    char *block = object(100, LIVE);
    held = block + 105;
}

static void before_start_body(void)
{
    held = (char *)object(4 << 20, DIRECT) - 1;
}

static void large_interior_body(void)
{
    held = (char *)object(8 << 20, LIVE) + 7654321;
}

/* --------------------------------------------------------------------------------- shapes */

static void single_body(void)
{
    object(48, DIRECT);
}

static void many_body(void)
{
    for (int i = 0; i < 1000; i++)
        object((size_t)(16 + i * 7), DIRECT);
}

static void list_body(void)
{
    chain(200, DIRECT, INDIRECT);
}

static void long_list_body(void)
{
    chain(100000, DIRECT, INDIRECT);
}

/* Made the other way round: each points at one made before it. */
static void list_backwards_body(void)
{
    struct node *last = NULL;
    for (int i = 0; i < 200; i++) {
        struct node *node = object(sizeof *node, i == 199 ? DIRECT : INDIRECT);
        node->right = last;
        last = node;
    }
}

static struct node *ring(int length)
{
    struct node *first = chain(length, DIRECT, INDIRECT), *last = first;
    while (last->left)
        last = last->left;
    last->left = first;
    return first;
}

static void ring_body(void)
{
    ring(100);
}

static void double_list_body(void)
{
    struct node *first = chain(100, DIRECT, INDIRECT);
    for (struct node *n = first; n->left; n = n->left)
        n->left->right = n;
}

static void tree_body(void)
{
    tree(8, DIRECT, INDIRECT);
}

static void add_parents(struct node *node)
{
    struct node *children[2] = {node->left, node->right};
    for (int i = 0; i < 2; i++)
        if (children[i]) {
            children[i]->payload[0] = (uintptr_t)node;
            add_parents(children[i]);
        }
}

static void tree_with_parents_body(void)
{
    add_parents(tree(8, DIRECT, INDIRECT));
}

static void diamond_body(void)
{
    struct node *top = object(sizeof *top, DIRECT);
    top->left = object(sizeof *top, INDIRECT);
    top->right = object(sizeof *top, INDIRECT);
    top->left->left = top->right->left = object(sizeof *top, INDIRECT);
}

static void two_heads_body(void)
{
    struct node *tail = chain(50, INDIRECT, INDIRECT);
    for (int i = 0; i < 2; i++) {
        struct node *head = object(sizeof *head, DIRECT);
        head->left = tail;
    }
}

static void self_body(void)
{
    for (int i = 0; i < 10; i++) {
        struct node *node = object(sizeof *node, DIRECT);
        node->left = node;
    }
}

static void interior_chain_body(void)
{
    char *first = object(256, DIRECT), *second = object(256, INDIRECT);
    *(void **)(first + 128) = second + 77;
    *(void **)(second + 248) = object(5 << 20, INDIRECT);
}

static void array_body(void)
{
    void **table = object(1000 * sizeof *table, DIRECT);
    for (int i = 0; i < 1000; i++)
        table[i] = object((size_t)(16 + i), INDIRECT);
}

/* Rings in a row: only what nothing leads to is direct. */
static void rings_body(void)
{
    struct node *first = ring(30), *second = chain(30, INDIRECT, INDIRECT), *last = second;
    while (last->left)
        last = last->left;
    last->left = second;
    last->right = chain(10, INDIRECT, INDIRECT);
    first->right = second;
}

static void points_at_live_body(void)
{
    struct node *alive = chain(20, LIVE, LIVE);
    held = alive;
    for (int i = 0; i < 10; i++) {
        struct node *node = object(sizeof *node, DIRECT);
        node->left = alive;
        node->right = alive->left;
    }
}

/* What is alive may point at nothing that is lost; when it does, that is alive. */
static void live_tail_body(void)
{
    struct node *first = chain(20, DIRECT, LIVE);
    held = first->left; /* the first is lost, the rest is not */
}

static void hash_table_body(void)
{
    struct {
        struct node **buckets;
        size_t count;
    } *table = object(sizeof *table, DIRECT);
    table->buckets = object(64 * sizeof(void *), INDIRECT);
    for (int i = 0; i < 64; i++)
        table->buckets[i] = chain(4, INDIRECT, INDIRECT);
}

static struct node *volatile shapes[3];

static void live_shapes_body(void)
{
    shapes[0] = chain(100000, LIVE, LIVE);
    shapes[1] = tree(12, LIVE, LIVE);
    struct node *first = chain(300, LIVE, LIVE), *last = first;
    while (last->left)
        last = last->left;
    last->left = first;
    shapes[2] = last;
}

/* --------------------------------------------------------------------------------- blocks */

/* A block that moves takes what hangs on it along; the old one is no leak. */
static void realloc_body(void)
{
    void **table = malloc(20 * sizeof *table);
    for (int i = 0; i < 20; i++)
        table[i] = object(64, INDIRECT);
    for (size_t size = 40; size < 400000; size *= 3) {
        table = realloc(table, size * sizeof *table);
        memset(table + 20, 0, (size - 20) * sizeof *table);
    }
    counted(table, DIRECT);
}

static void realloc_live_body(void)
{
    void **table = malloc(20 * sizeof *table);
    for (int i = 0; i < 20; i++)
        table[i] = object(64, LIVE);
    table = realloc(table, 4 << 20);
    memset(table + 20, 0, (4 << 20) - 20 * sizeof *table);
    held = counted(table, LIVE);
}

/* The pointer kept is the one from before realloc moved the block. */
static void realloc_stale_body(void)
{
    held = malloc(32);
    char *moved = realloc(held, 100000);
    memset(moved, 0, 100000);
    counted(moved, DIRECT);
}

static void aligned_body(void)
{
    for (size_t alignment = 16; alignment <= (2 << 20); alignment *= 4) {
        void *lost = NULL, *kept = NULL;
        if (posix_memalign(&lost, alignment, alignment + 40) != 0)
            abort();
        memset(lost, 0, alignment + 40);
        kept = aligned_alloc(alignment, 3 * alignment);
        memset(kept, 0, 3 * alignment);
        *(void **)counted(lost, DIRECT) = counted(kept, INDIRECT);
    }
    held = counted(memalign(4096, 100), LIVE);
    memset(held, 0, 100);
}

static void large_body(void)
{
    struct node *a = object(5 << 20, DIRECT), *b = object(37 << 20, INDIRECT);
    a->left = b;
    ((void **)b)[4000000] = object(64, INDIRECT);
}

/* Most of it has never been touched; a pointer far inside. */
static void sparse_body(void)
{
    char *sparse = counted(calloc(1, 512 << 20), DIRECT);
    *(void **)(sparse + (300 << 20)) = object(64, INDIRECT);
    char *kept = counted(calloc(1, 512 << 20), LIVE);
    *(void **)(kept + (400 << 20)) = object(64, LIVE);
    held = kept;
}

static void zero_body(void)
{
    for (int i = 0; i < 10; i++)
        counted(malloc(0), DIRECT);
    held = counted(malloc(0), LIVE);
}

static void all_sizes_body(void)
{
    void **last = NULL;
    for (size_t size = 8; size < 3000000; size += 1 + size / 7) {
        void **block = object(size, LIVE);
        block[0] = last;
        last = block;
    }
    held = last;
}

static void freed_body(void)
{
    struct node *first = chain(100, DIRECT, DIRECT);
    for (struct node *next; first; first = next) {
        next = first->left;
        uncounted(first, DIRECT);
        free(first);
    }
}

/* A pointer to what was freed keeps whatever has come in its place: conservative. */
static void reused_body(void)
{
    void *blocks[64], *again = NULL;
    for (int i = 0; i < 64; i++)
        blocks[i] = malloc(208);
    held = blocks[10];
    uintptr_t wanted = hide(blocks[10]);
    for (int i = 0; i < 64; i++)
        free(blocks[i]);
    memset(blocks, 0, sizeof blocks);
    /* The allocator may have given some back to where it has them from, or sample one. */
    for (int i = 0; i < 64 || (!again && i < 4096); i++) {
        void *block = malloc(208);
        memset(block, 0, 208);
        if (hide(block) == wanted)
            again = block;
        else
            counted(block, DIRECT);
    }
    if (!again)
        abort();
    counted(again, LIVE);
}

/* What a block held before it was freed is still in it when it is had again by malloc. */
static void recycled_contents_body(void)
{
    struct node *target = object(sizeof *target, LIVE);
    void *volatile *block = malloc(1000);
    block[60] = target; /* behind what free itself writes */
    uintptr_t was = hide((void *)block);
    free((void *)block);
    void **again = malloc(1000);
    if (hide(again) != was)
        again[60] = target; /* not the same one: make it so */
    held = counted(again, LIVE);
}

/* A pool of the program's own in one block. */
static void heap_pool_body(void)
{
    char *pool = object(1 << 20, LIVE), *at = pool;
    for (int i = 0; i < 1000; i++, at += 64)
        *(void **)(at + 16) = object(80, LIVE);
    held = at; /* the next free place: inside */
}

static char *volatile words[3];

static void strings_body(void)
{
    for (int i = 0; i < 3; i++)
        words[i] = counted(strdup(i == 1 ? "a word that was lost" : "a word that was kept"),
                           i == 1 ? DIRECT : LIVE);
    words[1] = NULL;
}

#define ALLOCATOR "depends on what its own allocator reuses and clears"
#define GROUPS "of blocks that reach each other it calls every one indirect"

const struct truth_case truth_shapes[] = {
    {"interior", NULL, interior_body, NULL, 0, 0},
    {"interior-odd", NULL, odd_body, NULL, 0, 0},
    {"last-byte", NULL, last_byte_body, NULL, 0, 0},
    {"one-behind-the-end", NULL, end_body, NULL, 0, 0},
    {"slack", NULL, slack_body, "takes a block to end where the request ended", 1, 0},
    {"before-the-start", NULL, before_start_body, NULL, 0, 0},
    {"interior-large", NULL, large_interior_body, NULL, 0, 0},
    {"single", NULL, single_body, NULL, 0, 0},
    {"many", NULL, many_body, NULL, 0, 0},
    {"list", NULL, list_body, NULL, 0, 0},
    {"list-long", NULL, long_list_body, NULL, 0, 0},
    {"list-backwards", NULL, list_backwards_body, NULL, 0, 0},
    {"ring", NULL, ring_body, GROUPS, 0, 100},
    {"double-list", NULL, double_list_body, GROUPS, 0, 100},
    {"tree", NULL, tree_body, NULL, 0, 0},
    {"tree-with-parents", NULL, tree_with_parents_body, GROUPS, 0, 255},
    {"diamond", NULL, diamond_body, NULL, 0, 0},
    {"two-heads", NULL, two_heads_body, NULL, 0, 0},
    {"self", NULL, self_body, NULL, 0, 0},
    {"interior-chain", NULL, interior_chain_body, NULL, 0, 0},
    {"array", NULL, array_body, NULL, 0, 0},
    {"rings-in-a-row", NULL, rings_body, GROUPS, 0, 70},
    {"points-at-live", NULL, points_at_live_body, NULL, 0, 0},
    {"live-tail", NULL, live_tail_body, NULL, 0, 0},
    {"hash-table", NULL, hash_table_body, NULL, 0, 0},
    {"live-shapes", NULL, live_shapes_body, NULL, 0, 0},
    {"realloc", NULL, realloc_body, NULL, 0, 0},
    {"realloc-live", NULL, realloc_live_body, NULL, 0, 0},
    {"realloc-stale", NULL, realloc_stale_body, NULL, 0, 0},
    {"aligned", NULL, aligned_body, NULL, 0, 0},
    {"large", NULL, large_body, NULL, 0, 0},
    {"sparse", NULL, sparse_body, NULL, 0, 0},
    {"zero-size", NULL, zero_body, NULL, 0, 0},
    {"all-sizes", NULL, all_sizes_body, NULL, 0, 0},
    {"freed", NULL, freed_body, NULL, 0, 0},
    {"freed-then-reused", NULL, reused_body, ALLOCATOR, -1, -1},
    {"recycled-contents", NULL, recycled_contents_body, ALLOCATOR, -1, -1},
    {"pool-in-a-block", NULL, heap_pool_body, NULL, 0, 0},
    {"strings", NULL, strings_body, NULL, 0, 0},
    {NULL, NULL, NULL, NULL, 0, 0},
};
