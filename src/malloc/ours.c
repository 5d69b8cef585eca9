#include "malloc/ours.h"

#include "malloc/arena.h"
#include "malloc/records.h"

void jep_arena_postfork_child(jemalloc_tsdn *tsdn, jemalloc_arena *arena);
void je_arena_postfork_child(jemalloc_tsdn *tsdn, jemalloc_arena *arena);

#ifdef JEMALLOC_RECORDS

/* The tables of jemalloc's profiler (prof_structs.h, ckh.h), in words: a tree of what it has of
 * each thread, which has a table of its stacks' records, and a table of stacks, each of which has a
 * tree of these records.  All of these are blocks. */
extern uintptr_t je_tdatas[1] __attribute__((visibility("hidden")));
extern uintptr_t je_bt2gctx[6] __attribute__((visibility("hidden")));
#define TABLE_CELLS 5u      /* of a table: the block with its cells, a key and a value each */
#define THREAD_LINK 5u      /* of a thread: its left and right neighbour, */
#define THREAD_RECORDS 8u   /* its table */
#define STACK_RECORDS 2u    /* of a stack: the root of its tree */
#define RECORD_LINK 14u     /* of a record */
#define TREE_DEPTH_MAX 100u /* more than any tree has that fits into memory */

struct telling {
    bool (*is_block)(uintptr_t block);
    size_t (*block_size)(const void *block);
    allocated_tell *tell;
    void *ctx;
};

static void tell_ours(struct telling *to, uintptr_t block)
{
    if (to->is_block(block))
        to->tell(to->ctx, block, ALLOCATED_OURS);
}

/* `fn` may be NULL. */
static void tell_tree(struct telling *to, uintptr_t root, unsigned link, unsigned depth,
                      void (*fn)(struct telling *to, const uintptr_t *node))
{
    if (!to->is_block(root) || depth == TREE_DEPTH_MAX)
        return;
    const uintptr_t *node = (const uintptr_t *)root;
    tell_ours(to, root);
    if (fn)
        fn(to, node);
    tell_tree(to, node[link], link, depth + 1, fn);
    tell_tree(to, node[link + 1] & ~(uintptr_t)1, link, depth + 1, fn); /* its colour */
}

static void tell_thread(struct telling *to, const uintptr_t *thread)
{
    tell_ours(to, thread[THREAD_RECORDS + TABLE_CELLS]);
}

static void tell_profiler(struct telling *to)
{
    tell_tree(to, je_tdatas[0], THREAD_LINK, 0, tell_thread);
    const uintptr_t *cells = (const uintptr_t *)je_bt2gctx[TABLE_CELLS];
    if (!to->is_block((uintptr_t)cells))
        return;
    tell_ours(to, (uintptr_t)cells);
    for (size_t i = 1; i < to->block_size(cells) / sizeof *cells; i += 2) {
        const uintptr_t *stack = (const uintptr_t *)cells[i];
        if (!to->is_block((uintptr_t)stack))
            continue;
        tell_ours(to, (uintptr_t)stack);
        tell_tree(to, stack[STACK_RECORDS], RECORD_LINK, 0, NULL);
    }
}

/* What libc has allocated for our thread on the one that started it: its table of thread-local
 * storage, 16 bytes before where the thread's data name it.  0: there is none. */
static uintptr_t own_thread_table(void)
{
    uintptr_t pointer = arena_own_thread();
    return pointer ? ((const uintptr_t *)pointer)[1] - 16 : 0;
}

/* What our threads have left in the processes that this one was forked by: nobody frees it. */
#define LEFT_MAX 64u
static uintptr_t left[LEFT_MAX];
static unsigned left_count;

static void note_left(uintptr_t block)
{
    if (left_count < LEFT_MAX)
        left[left_count] = block;
    left_count++;
}

static void tell_own_threads(struct telling *to)
{
    tell_ours(to, own_thread_table());
    for (unsigned i = 0; i < left_count; i++)
        tell_ours(to, left[i]);
}

void ours_tell(bool (*is_block)(uintptr_t block), size_t (*block_size)(const void *block),
               allocated_tell *tell, void *ctx)
{
    struct telling to = {is_block, block_size, tell, ctx};
    tell_profiler(&to);
    tell_own_threads(&to);
}

/* ---- fork ---- */

static bool forked_beside_threads; /* and what they had cached is lost for good */

const char *ours_refusal(void)
{
    if (forked_beside_threads)
        return "this process was forked by one with threads: what they had cached looks allocated";
    return left_count > LEFT_MAX ? "this process has too many forebears" : NULL;
}

/* Of an arena of the program's. */
static void note_caches(const jemalloc_arena *arena)
{
    const struct cache_slow *first = first_cache(arena);
    if (first && (first->next != first || (uintptr_t)first - (uintptr_t)je_tsd_tls >= TSD_BYTES))
        forked_beside_threads = true;
}

/* jemalloc forgets here the caches of threads that a copy does not have; what lies in them is not
 * given back. */
void je_arena_postfork_child(jemalloc_tsdn *tsdn, jemalloc_arena *arena)
{
    unsigned own = arena_own_index();
    if (!own || je_arenas[own] != arena)
        note_caches(arena);
    else if (first_cache(arena))
        note_left(first_cache(arena)->arrays);
    jep_arena_postfork_child(tsdn, arena);
}

void ours_postfork_child(void)
{
    unsigned own = arena_own_index();
    for (unsigned i = 0; i < ARENAS_MAX; i++)
        if (je_arenas[i] && !(own && i == own))
            note_caches(je_arenas[i]);
    if (own_thread_table())
        note_left(own_thread_table());
    arena_forget_thread();
}

#else

void je_arena_postfork_child(jemalloc_tsdn *tsdn, jemalloc_arena *arena)
{
    jep_arena_postfork_child(tsdn, arena);
}

void ours_postfork_child(void)
{
}

#endif
