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
static unsigned own; /* atomic */
static uintptr_t own_pointer;
static jemalloc_arena *of_samples; /* atomic */

void arena_use_own(void)
{
    own_pointer = (uintptr_t)__builtin_thread_pointer();
    if (!own)
        __atomic_store_n(&own, create(), __ATOMIC_RELEASE);
    if (!own)
        return;
    jep_mallctl("thread.arena", NULL, NULL, &own, sizeof own);
}

unsigned arena_own_index(void)
{
    return __atomic_load_n(&own, __ATOMIC_ACQUIRE);
}

uintptr_t arena_own_thread(void)
{
    return own_pointer;
}

void arena_forget_thread(void)
{
    own_pointer = 0;
}

jemalloc_arena *arena_of_samples(void)
{
    static bool asked;
    jemalloc_arena *known = __atomic_load_n(&of_samples, __ATOMIC_ACQUIRE);
    if (LIKELY(known) || __atomic_exchange_n(&asked, true, __ATOMIC_RELAXED))
        return known;
    int saved = errno;
    unsigned index = create();
    errno = saved;
    known = index ? __atomic_load_n(&je_arenas[index], __ATOMIC_ACQUIRE) : NULL;
    __atomic_store_n(&of_samples, known, __ATOMIC_RELEASE);
    return known;
}

enum arena_use arena_used_for(unsigned index)
{
    const jemalloc_arena *arena = __atomic_load_n(&je_arenas[index], __ATOMIC_ACQUIRE);
    return index && index == arena_own_index()                       ? ARENA_OF_OURS
           : arena == __atomic_load_n(&of_samples, __ATOMIC_ACQUIRE) ? ARENA_OF_SAMPLES
                                                                     : ARENA_OF_PROGRAM;
}
