#include "malloc/bases.h"

#include "base/compiler.h"
#include "base/lock.h"
#include "heap/extents.h"

jemalloc_base *je_b0get(void); /* base.h */

static struct lock lock = LOCK_INIT(LOCK_BASES);
/* By arena; guarded by the lock. */
static const jemalloc_base *bases[BASES_MAX];
static unsigned count; /* one more than the highest index */

static unsigned blocks_at; /* atomic: words into a base: its newest block; 0: not known */

static bool is_heap(uintptr_t address)
{
    for (unsigned i = 0; i < extent_count; i++)
        if (extents[i].start <= address && address < extents[i].end)
            return true;
    return false;
}

/* Whether `word` leads to the block, over newer ones. */
static bool leads_to(uintptr_t word, uintptr_t block)
{
    while (word != block && word && word % JEMALLOC_BASE_ALIGNMENT == 0 && is_heap(word))
        word = (uintptr_t)((const struct jemalloc_base_block *)word)->next;
    return word == block;
}

/* A base lies at the beginning of its first block. */
static void learn_blocks(const jemalloc_base *base)
{
    const uintptr_t *words = (const uintptr_t *)base;
    uintptr_t block = (uintptr_t)base & ~(JEMALLOC_BASE_ALIGNMENT - 1);
    for (unsigned i = 1; i < 64; i++)
        if (leads_to(words[i], block)) {
            __atomic_store_n(&blocks_at, i, __ATOMIC_RELAXED);
            return;
        }
}

void bases_init(void)
{
    learn_blocks(je_b0get());
    bases_add(0, je_b0get());
}

void bases_add(unsigned index, const jemalloc_base *base)
{
    /* A signal handler may come while its own thread holds the lock, for reading: an arena more
     * does no harm there. */
    bool held = lock_held_here();
    if (!held)
        lock_take(&lock);
    if (index < BASES_MAX) {
        bases[index] = base;
        count = MAX(count, index + 1);
    }
    if (!held)
        lock_release(&lock);
}

void bases_remove(const jemalloc_base *base)
{
    lock_take(&lock);
    for (unsigned i = 0; i < count; i++)
        if (bases[i] == base)
            bases[i] = NULL;
    lock_release(&lock);
}

const struct jemalloc_base_block *bases_blocks(const jemalloc_base *base)
{
    unsigned at = __atomic_load_n(&blocks_at, __ATOMIC_RELAXED);
    return at ? __atomic_load_n((struct jemalloc_base_block *const *)base + at, __ATOMIC_ACQUIRE)
              : NULL;
}

void bases_hold(bool hold)
{
    if (hold)
        lock_take(&lock);
    else
        lock_release(&lock);
}

unsigned bases_count_locked(void)
{
    return count;
}

const jemalloc_base *bases_at_locked(unsigned index)
{
    return bases[index];
}

void bases_postfork_child(void)
{
    lock_postfork_child(&lock);
}
