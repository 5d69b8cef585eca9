#include "prof/pending.h"

#include "base/compiler.h"
#include "base/os.h"

#define BLOCK 511u

struct block {
    struct block *next;
    uint64_t what[BLOCK]; /* 0: free */
};
static struct block first;
/* At least as many as there are: whoever adds one counts it first, and whoever takes one counts it
 * off afterwards. */
static uint32_t count;
/* How many have ever been put in their places, and how many had been when all were last taken.  One
 * that is on its way to its place is in neither: whoever is stopped there (by a signal handler that
 * frees too, by a debugger, by a fork for ever) is not waited for.  All are atomic; looked_at is
 * written by the holder of the tables' lock. */
static uint32_t added, looked_at;

static struct block *block_after(struct block *block)
{
    struct block *next = __atomic_load_n(&block->next, __ATOMIC_ACQUIRE), *fresh;
    if (next || !(fresh = own_map(sizeof *fresh)))
        return next;
    if (__atomic_compare_exchange_n(&block->next, &next, fresh, false, __ATOMIC_RELEASE,
                                    __ATOMIC_ACQUIRE))
        return fresh;
    own_unmap(fresh, sizeof *fresh);
    return next;
}

static bool add_to(struct block *block, uint64_t what)
{
    for (unsigned i = 0; i < BLOCK; i++) {
        uint64_t none = 0;
        if (!__atomic_load_n(&block->what[i], __ATOMIC_RELAXED) &&
            __atomic_compare_exchange_n(&block->what[i], &none, what, false, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED))
            return true;
    }
    return false;
}

bool pending_add(uint64_t what)
{
    /* Blocks fill in order, so those before this one are likely to be full. */
    uint32_t before = __atomic_fetch_add(&count, 1, __ATOMIC_SEQ_CST) / BLOCK;
    struct block *block = &first;
    while (block && (before || !add_to(block, what))) {
        block = block_after(block);
        before -= before > 0;
    }
    if (block)
        __atomic_fetch_add(&added, 1, __ATOMIC_SEQ_CST);
    else
        __atomic_fetch_sub(&count, 1, __ATOMIC_RELAXED);
    return block != NULL;
}

bool pending_any(void)
{
    return __atomic_load_n(&added, __ATOMIC_SEQ_CST) !=
           __atomic_load_n(&looked_at, __ATOMIC_RELAXED);
}

void pending_take(void (*fn)(uint64_t what))
{
    uint32_t now = __atomic_load_n(&added, __ATOMIC_SEQ_CST);
    for (struct block *block = &first; block;
         block = __atomic_load_n(&block->next, __ATOMIC_ACQUIRE))
        for (unsigned i = 0; i < BLOCK && __atomic_load_n(&count, __ATOMIC_RELAXED); i++) {
            uint64_t what = __atomic_load_n(&block->what[i], __ATOMIC_RELAXED)
                                ? __atomic_exchange_n(&block->what[i], 0, __ATOMIC_ACQUIRE)
                                : 0;
            if (!what)
                continue;
            fn(what);
            __atomic_fetch_sub(&count, 1, __ATOMIC_RELAXED);
        }
    __atomic_store_n(&looked_at, now, __ATOMIC_RELAXED);
}
