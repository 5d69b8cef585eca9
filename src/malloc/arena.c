#include "malloc/arena.h"

#include "malloc/jemalloc.h"

void arena_use_own(void)
{
    static unsigned arena;
    size_t size = sizeof arena;
    if (!arena && jep_mallctl("arenas.create", &arena, &size, NULL, 0) != 0)
        return;
    jep_mallctl("thread.arena", NULL, NULL, &arena, sizeof arena);
}
