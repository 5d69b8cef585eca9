/* jemalloc as it lies inside this library: its public functions under their private names, and the
 * few internal names that ours stand in for (see embed_jemalloc.sh).  The only file that names
 * jemalloc's inside. */
#ifndef MALLOC_JEMALLOC_H
#define MALLOC_JEMALLOC_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *jep_malloc(size_t size);
void *jep_calloc(size_t count, size_t size);
void *jep_realloc(void *ptr, size_t size);
void jep_free(void *ptr);
int jep_posix_memalign(void **out, size_t alignment, size_t size);
void *jep_aligned_alloc(size_t alignment, size_t size);
void *jep_memalign(size_t alignment, size_t size);
size_t jep_malloc_usable_size(const void *ptr);
void *jep_mallocx(size_t size, int flags);
void *jep_rallocx(void *ptr, size_t size, int flags);
size_t jep_xallocx(void *ptr, size_t size, size_t extra, int flags);
size_t jep_sallocx(const void *ptr, int flags);
void jep_dallocx(void *ptr, int flags);
void jep_sdallocx(void *ptr, size_t size, int flags);
size_t jep_nallocx(size_t size, int flags);
int jep_mallctl(const char *name, void *old, size_t *old_size, void *fresh, size_t fresh_size);
int jep_mallctlnametomib(const char *name, size_t *mib, size_t *length);
int jep_mallctlbymib(const size_t *mib, size_t length, void *old, size_t *old_size, void *fresh,
                     size_t fresh_size);
void jep_malloc_stats_print(void (*write)(void *, const char *), void *data, const char *options);

#define MALLOCX_LG_ALIGN_MASK 63
#define MALLOCX_ALIGN(a) (__builtin_ctzll(a))
#define MALLOCX_ZERO 0x40

/* Read by jemalloc when it initialises: the second is parsed last and cannot be overruled. */
extern const char *jep_malloc_conf;
extern const char *jep_malloc_conf_2_conf_harder;

/* A thread's jemalloc data; where its counters of bytes lie is learnt at start. */
typedef struct jemalloc_tsd jemalloc_tsd;
extern _Thread_local char je_tsd_tls[]
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* What jemalloc's profiler hands back when a sampled block is freed (5.3.0 prof_structs.h). */
struct jemalloc_prof_info {
    uint64_t alloc_time;
    void *alloc_tctx;
    size_t alloc_size; /* the size we gave when it was sampled: our handle */
};

/* A stack as its profiler keeps it. */
struct jemalloc_prof_bt {
    void **vec;
    unsigned length;
};

typedef struct jemalloc_arena jemalloc_arena;
extern jemalloc_arena *je_arenas[] __attribute__((visibility("hidden"))); /* by index; atomic */

/* jemalloc's own, behind our stand-ins. */
void *jep_arena_palloc(jemalloc_tsd *tsd, jemalloc_arena *arena, size_t usable, size_t alignment,
                       bool zero, void *tcache);
void *jep_arena_ralloc(jemalloc_tsd *tsd, jemalloc_arena *arena, void *ptr, size_t old_size,
                       size_t size, size_t alignment, bool zero, void *tcache, void *hook);
void jep_prof_malloc_sample_object(jemalloc_tsd *tsd, const void *ptr, size_t size, size_t usable,
                                   void *tctx);
void jep_prof_free_sampled_object(jemalloc_tsd *tsd, size_t usable,
                                  struct jemalloc_prof_info *info);
void *jep_prof_tctx_create(jemalloc_tsd *tsd);
void jep_tcache_gc_event_handler(jemalloc_tsd *tsd, uint64_t elapsed);
void jep_tcache_gc_dalloc_event_handler(jemalloc_tsd *tsd, uint64_t elapsed);
void jep_tcache_cleanup(jemalloc_tsd *tsd);

/* What a thread does without where memory is used up (exhausted.c). */
typedef struct jemalloc_arena jemalloc_arena;
extern jemalloc_arena *je_arenas[];
jemalloc_arena *jep_arena_choose_hard(jemalloc_tsd *tsd, bool internal);
bool jep_tsd_tcache_data_init(jemalloc_tsd *tsd);
void je_tsd_slow_update(jemalloc_tsd *tsd);

#endif
