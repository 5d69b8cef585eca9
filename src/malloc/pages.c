/* jemalloc's extents as they come, change and go: where it is not by our mmap that they come, and
 * where what jemalloc says of a change is not so. */
#include "base/os.h"
#include "heap/extents.h"
#include "heap/object_map.h"
#include "malloc/bases.h"
#include "malloc/counts.h"
#include "malloc/jemalloc.h"
#include "malloc/variants.h"

/* Every extent passes here before the first block is in it, and when none is in it any more: also
 * those from extent hooks of the program's, and from sbrk. */
bool je_emap_register_boundary(jemalloc_tsdn *tsdn, void *emap, struct jemalloc_edata *extent,
                               unsigned class, bool slab);
void je_emap_deregister_boundary(jemalloc_tsdn *tsdn, void *emap, struct jemalloc_edata *extent);

static uintptr_t start_of(const struct jemalloc_edata *extent)
{
    return (uintptr_t)extent->addr & JEMALLOC_EXTENT_SIZE;
}

static uintptr_t end_of(const struct jemalloc_edata *extent)
{
    return start_of(extent) + (extent->size_and_serial & JEMALLOC_EXTENT_SIZE);
}

bool je_emap_register_boundary(jemalloc_tsdn *tsdn, void *emap, struct jemalloc_edata *extent,
                               unsigned class, bool slab)
{
    if (!extents_adopt(start_of(extent), end_of(extent)))
        return true; /* to jemalloc, no memory for its own tables */
    bool failed = jep_emap_register_boundary(tsdn, emap, extent, class, slab);
    if (failed)
        extents_release(start_of(extent), end_of(extent));
    return failed;
}

void je_emap_deregister_boundary(jemalloc_tsdn *tsdn, void *emap, struct jemalloc_edata *extent)
{
    jep_emap_deregister_boundary(tsdn, emap, extent);
    extents_release(start_of(extent), end_of(extent));
}

/* What jemalloc knows of an arena lies in memory from the arena's hooks too, and names its large
 * blocks: no root either. */
jemalloc_base *je_base_new(jemalloc_tsdn *tsdn, unsigned index, const void *hooks,
                           bool metadata_use_hooks);
void *je_base_alloc(jemalloc_tsdn *tsdn, jemalloc_base *base, size_t size, size_t alignment);
struct jemalloc_edata *je_base_alloc_edata(jemalloc_tsdn *tsdn, jemalloc_base *base);
void je_base_delete(jemalloc_tsdn *tsdn, jemalloc_base *base);

/* The newest block; those before it have been. */
static void adopt_block(const jemalloc_base *base)
{
    const struct jemalloc_base_block *block = bases_blocks(base);
    if (block)
        extents_adopt((uintptr_t)block, (uintptr_t)block + block->size);
}

jemalloc_base *je_base_new(jemalloc_tsdn *tsdn, unsigned index, const void *hooks,
                           bool metadata_use_hooks)
{
    jemalloc_base *base = jep_base_new(tsdn, index, hooks, metadata_use_hooks);
    if (base) {
        bases_add(index, base);
        adopt_block(base);
    }
    return base;
}

void *je_base_alloc(jemalloc_tsdn *tsdn, jemalloc_base *base, size_t size, size_t alignment)
{
    void *got = jep_base_alloc(tsdn, base, size, alignment);
    adopt_block(base);
    return got;
}

struct jemalloc_edata *je_base_alloc_edata(jemalloc_tsdn *tsdn, jemalloc_base *base)
{
    struct jemalloc_edata *got = jep_base_alloc_edata(tsdn, base);
    adopt_block(base);
    return got;
}

void je_base_delete(jemalloc_tsdn *tsdn, jemalloc_base *base)
{
    bases_remove(base);
    for (const struct jemalloc_base_block *block = bases_blocks(base); block; block = block->next)
        extents_release((uintptr_t)block, (uintptr_t)block + block->size);
    jep_base_delete(tsdn, base);
}

/* An arena that is emptied (mallctl arena.I.reset, .destroy) gives back its extents with the blocks
 * that are in them: freed by nobody, and jemalloc does not count them. */
void je_arena_reset(jemalloc_tsd *tsd, jemalloc_arena *arena);
void je_pa_dalloc(jemalloc_tsdn *tsdn, void *shard, struct jemalloc_edata *extent, bool *deferred);

static THREAD_LOCAL bool emptying;
static THREAD_LOCAL size_t sampled; /* usable bytes of the block at hand, if it is a sampled one */

/* 5.3.1 gives such a block back as one of the size that its extent has. */
void pages_sample_freed(size_t usable)
{
    if (UNLIKELY(emptying))
        sampled = usable;
}

static COLD void forget_blocks(const struct jemalloc_edata *extent)
{
    uintptr_t start = start_of(extent), end = end_of(extent);
    if (JEMALLOC_IS_SLAB(extent->bits)) {
        size_t size = je_sz_index2size_tab[JEMALLOC_CLASS(extent->bits)];
        counts_freed(((end - start) / size - JEMALLOC_FREE_IN_SLAB(extent->bits)) * size);
    } else {
        counts_freed(sampled ? sampled : jep_malloc_usable_size(extent->addr));
        sampled = 0;
    }
    if (object_map)
        tracked_forget(start, end);
}

void je_arena_reset(jemalloc_tsd *tsd, jemalloc_arena *arena)
{
    emptying = true;
    jep_arena_reset(tsd, arena);
    emptying = false;
}

void je_pa_dalloc(jemalloc_tsdn *tsdn, void *shard, struct jemalloc_edata *extent, bool *deferred)
{
    if (UNLIKELY(emptying))
        forget_blocks(extent);
    jep_pa_dalloc(tsdn, shard, extent, deferred);
}

/* A large block is to be resized where it lies, to `most` or else to at least `least`.  Where it
 * has grown to the least only, 5.3.0's own says that it has failed, and nobody counts what came:
 * not its caller (xallocx), not its statistics, not ours. */
bool je_large_ralloc_no_move(jemalloc_tsdn *tsdn, struct jemalloc_edata *extent, size_t least,
                             size_t most, bool zero);

bool je_large_ralloc_no_move(jemalloc_tsdn *tsdn, struct jemalloc_edata *extent, size_t least,
                             size_t most, bool zero)
{
    if (least < most && jep_malloc_usable_size(extent->addr) < least)
        return jep_large_ralloc_no_move(tsdn, extent, most, most, zero) &&
               jep_large_ralloc_no_move(tsdn, extent, least, least, zero);
    return jep_large_ralloc_no_move(tsdn, extent, least, most, zero);
}
