#include "malloc/arena.h"

#include "malloc/jemalloc.h"

#include <errno.h>

static unsigned create(void)
{
    unsigned index = 0;
    size_t size = sizeof index;
    return jep_mallctl("arenas.create", &index, &size, NULL, 0) == 0 ? index : 0;
}

void arena_use_own(void)
{
    static unsigned arena;
    if (!arena)
        arena = create();
    if (!arena)
        return;
    jep_mallctl("thread.arena", NULL, NULL, &arena, sizeof arena);
}

jemalloc_arena *arena_of_samples(void)
{
    static jemalloc_arena *arena;
    static bool asked;
    jemalloc_arena *known = __atomic_load_n(&arena, __ATOMIC_ACQUIRE);
    if (LIKELY(known) || __atomic_exchange_n(&asked, true, __ATOMIC_RELAXED))
        return known;
    int saved = errno;
    unsigned index = create();
    errno = saved;
    known = index ? __atomic_load_n(&je_arenas[index], __ATOMIC_ACQUIRE) : NULL;
    __atomic_store_n(&arena, known, __ATOMIC_RELEASE);
    return known;
}
