/* What our functions stand in for and jemalloc 5.3.1 has in another form than 5.3.0: the events of
 * a thread, and parameters that came. */
#include "malloc/counts.h"
#include "malloc/jemalloc.h"
#include "malloc/variants.h"
#include "prof/prof.h"

/* jemalloc looks after a thread's cache each 64 KiB that it has allocated or freed: so do we then.
 */
#if JEMALLOC_BUGFIX == 0
void jep_tcache_gc_event_handler(jemalloc_tsd *tsd, uint64_t elapsed);
void jep_tcache_gc_dalloc_event_handler(jemalloc_tsd *tsd, uint64_t elapsed);
void je_tcache_gc_event_handler(jemalloc_tsd *tsd, uint64_t elapsed);
void je_tcache_gc_dalloc_event_handler(jemalloc_tsd *tsd, uint64_t elapsed);

void je_tcache_gc_event_handler(jemalloc_tsd *tsd, uint64_t elapsed)
{
    counts_publish();
    jep_tcache_gc_event_handler(tsd, elapsed);
}

void je_tcache_gc_dalloc_event_handler(jemalloc_tsd *tsd, uint64_t elapsed)
{
    counts_publish();
    jep_tcache_gc_dalloc_event_handler(tsd, elapsed);
}
#else
/* thread_event_registry.h */
struct jemalloc_event {
    int (*enabled)(void);
    uint64_t (*new_wait)(jemalloc_tsd *tsd);
    uint64_t (*postponed_wait)(jemalloc_tsd *tsd);
    void (*handle)(jemalloc_tsd *tsd);
};
extern struct jemalloc_event jep_tcache_gc_te_handler __attribute__((visibility("hidden")));
extern const struct jemalloc_event je_tcache_gc_te_handler;

static int enabled(void)
{
    return jep_tcache_gc_te_handler.enabled();
}

static uint64_t new_wait(jemalloc_tsd *tsd)
{
    return jep_tcache_gc_te_handler.new_wait(tsd);
}

static uint64_t postponed_wait(jemalloc_tsd *tsd)
{
    return jep_tcache_gc_te_handler.postponed_wait(tsd);
}

static void handle(jemalloc_tsd *tsd)
{
    counts_publish();
    jep_tcache_gc_te_handler.handle(tsd);
}

const struct jemalloc_event je_tcache_gc_te_handler = {enabled, new_wait, postponed_wait, handle};
#endif

/* 5.3.0 asks by another name for the gap after a sample that it could not take. */
#if JEMALLOC_BUGFIX == 0
uint64_t je_prof_sample_postponed_event_wait(jemalloc_tsd *tsd);
uint64_t je_prof_sample_postponed_event_wait(jemalloc_tsd *tsd)
{
    return je_prof_sample_new_event_wait(tsd);
}
#endif

/* In 5.3.1 whoever allocates says whether the block is to lie in a slab, and whoever frees a
 * sampled block says where it lies. */
#if JEMALLOC_BUGFIX == 0
#define SLAB_PARAMETER
#define SLAB
#define PTR_PARAMETER
#define PTR
#else
#define SLAB_PARAMETER bool slab,
#define SLAB slab,
#define PTR_PARAMETER const void *ptr,
#define PTR ptr,
#endif

void *jep_arena_palloc(jemalloc_tsd *tsd, jemalloc_arena *arena, size_t usable, size_t alignment,
                       bool zero, SLAB_PARAMETER void *tcache);
void *jep_arena_ralloc(jemalloc_tsd *tsd, jemalloc_arena *arena, void *ptr, size_t old_size,
                       size_t size, size_t alignment, bool zero, SLAB_PARAMETER void *tcache,
                       void *hook);
void jep_prof_free_sampled_object(jemalloc_tsd *tsd, PTR_PARAMETER size_t usable,
                                  struct jemalloc_prof_info *info);
void *je_arena_palloc(jemalloc_tsd *tsd, jemalloc_arena *arena, size_t usable, size_t alignment,
                      bool zero, SLAB_PARAMETER void *tcache);
void *je_arena_ralloc(jemalloc_tsd *tsd, jemalloc_arena *arena, void *ptr, size_t old_size,
                      size_t size, size_t alignment, bool zero, SLAB_PARAMETER void *tcache,
                      void *hook);
void je_prof_free_sampled_object(jemalloc_tsd *tsd, PTR_PARAMETER size_t usable,
                                 struct jemalloc_prof_info *info);

void *je_arena_palloc(jemalloc_tsd *tsd, jemalloc_arena *arena, size_t usable, size_t alignment,
                      bool zero, SLAB_PARAMETER void *tcache)
{
    return jep_arena_palloc(tsd, plain_arena(arena, usable, alignment), usable, alignment, zero,
                            SLAB tcache);
}

void *je_arena_ralloc(jemalloc_tsd *tsd, jemalloc_arena *arena, void *ptr, size_t old_size,
                      size_t size, size_t alignment, bool zero, SLAB_PARAMETER void *tcache,
                      void *hook)
{
    return jep_arena_ralloc(tsd, plain_arena(arena, size, alignment), ptr, old_size, size,
                            alignment, zero, SLAB tcache, hook);
}

void je_prof_free_sampled_object(jemalloc_tsd *tsd, PTR_PARAMETER size_t usable,
                                 struct jemalloc_prof_info *info)
{
    prof_free(info->alloc_size);
    pages_sample_freed(usable);
    jep_prof_free_sampled_object(tsd, PTR usable, info);
}
