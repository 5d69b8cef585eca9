/* A thread's first allocation where the address space is used up (RLIMIT_AS, overcommit_memory=2).
 * jemalloc then goes through a null pointer: where no arena can be made for the thread, and
 * in 5.3.0 where its cache cannot be.  Where malloc may answer NULL, the program must get NULL; and
 * our own threads are such threads too. */
#include "malloc/jemalloc.h"

/* A thread for which no arena can be made takes from the first, which there is from the start.  It
 * is not bound to it: once there is memory again it gets its own. */
jemalloc_arena *je_arena_choose_hard(jemalloc_tsd *tsd, bool internal);
jemalloc_arena *je_arena_choose_hard(jemalloc_tsd *tsd, bool internal)
{
    jemalloc_arena *arena = jep_arena_choose_hard(tsd, internal);
    return arena ? arena : __atomic_load_n(&je_arenas[0], __ATOMIC_ACQUIRE);
}

#if JEMALLOC_BUGFIX == 0
/* A thread whose cache cannot be made goes without.  Its data begin with whether it has one. */
bool je_tsd_tcache_data_init(jemalloc_tsd *tsd);
bool je_tsd_tcache_data_init(jemalloc_tsd *tsd)
{
    bool failed = jep_tsd_tcache_data_init(tsd);
    if (failed) {
        *(bool *)tsd = false;
        je_tsd_slow_update(tsd);
    }
    return failed;
}
#endif
