#include "malloc/arena.h"

#include "malloc/jemalloc.h"

#include <errno.h>

static unsigned create(void)
{
    unsigned index = 0;
    size_t size = sizeof index;
    return jep_mallctl("arenas.create", &index, &size, NULL, 0) == 0 ? index : 0;
}

/* Written by our thread; 0: none yet. */
static unsigned own;
static uintptr_t own_pointer;

void arena_use_own(void)
{
    own_pointer = (uintptr_t)__builtin_thread_pointer();
    if (!own)
        own = create();
    if (!own)
        return;
    jep_mallctl("thread.arena", NULL, NULL, &own, sizeof own);
}

unsigned arena_own_index(void)
{
    return own;
}

uintptr_t arena_own_thread(void)
{
    return own_pointer;
}

void arena_postfork_child(void)
{
    own_pointer = 0;
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
