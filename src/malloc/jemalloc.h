/* jemalloc 5.3 as it lies inside this library: its public functions under their private names
 * (jep_…), and what is known of its inside: the layout of its records, and the internal functions
 * that ours stand in for (see embed_jemalloc.sh).  Those are defined, under jemalloc's own names
 * (je_…), in counts.c, exhausted.c, ours.c, pages.c and plain.c; in releases.c where 5.3.0
 * and 5.3.1 differ.
 *
 * The build defines JEMALLOC_VERSION, JEMALLOC_BUGFIX (its last number, of three) and
 * JEMALLOC_LG_PAGE, and COPIED_ENTRIES where malloc and free are jemalloc's own code
 * (copy_entries_x86_64.py). */
#ifndef MALLOC_JEMALLOC_H
#define MALLOC_JEMALLOC_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JEMALLOC_PAGE ((size_t)1 << JEMALLOC_LG_PAGE)

/* The setting by which all blocks have the size of a class, the large ones too, as the object map
 * takes them to: 5.3.1 would have large ones of any number of pages. */
#if JEMALLOC_BUGFIX == 0
#define JEMALLOC_SIZES_OF_CLASSES ""
#else
#define JEMALLOC_SIZES_OF_CLASSES ",disable_large_size_classes:false"
#endif

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

#ifdef COPIED_ENTRIES
/* The copy of its malloc that is exported, called from inside. */
void *entry_malloc(size_t size);
#endif

#define MALLOCX_LG_ALIGN_MASK 63
#define MALLOCX_ALIGN(a) (__builtin_ctzll(a))
#define MALLOCX_ZERO 0x40

/* Read by jemalloc when it initialises: the second is parsed last and cannot be overruled. */
extern const char *jep_malloc_conf;
extern const char *jep_malloc_conf_2_conf_harder;

/* What it is for in this process. */
enum jemalloc_use {
    JEMALLOC_UNWATCHED, /* nothing is recorded */
    JEMALLOC_SAMPLED,   /* the plain variant: its profiler decides what is sampled */
    JEMALLOC_TRACKED    /* the tracked variant: ours does */
};
/* Before the first call of any other function of jemalloc's.  With `clobber` it fills what is freed
 * with 0x5a, on its slow path alone, which each thread takes then. */
void jemalloc_configure(enum jemalloc_use use, bool clobber);
/* Gives the object map the size classes, as jemalloc tells them.  False: it does not. */
bool jemalloc_learn_classes(void);

/* A thread's jemalloc data; where its counters of bytes lie is learnt at start. */
typedef struct jemalloc_tsd jemalloc_tsd;
extern _Thread_local char je_tsd_tls[]
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* What jemalloc's profiler hands back when a sampled block is freed (prof_structs.h). */
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

/* Bytes that the thread is asking it for; 0: not known (the plain variant). */
extern _Thread_local size_t jemalloc_asked_bytes __attribute__((tls_model("initial-exec")));

typedef struct jemalloc_arena jemalloc_arena;
extern jemalloc_arena *je_arenas[] __attribute__((visibility("hidden"))); /* by index; atomic */

/* The beginning of what jemalloc knows of an extent (edata.h). */
struct jemalloc_edata {
    uint64_t bits;
    void *addr; /* of the block, if it is a large one: on the extent's first page */
    size_t size_and_serial;
};
#define JEMALLOC_EXTENT_SIZE (~(uintptr_t)(JEMALLOC_PAGE - 1)) /* of size_and_serial */
#define JEMALLOC_IS_SLAB(bits) ((bits) >> 12 & 1)
#define JEMALLOC_CLASS(bits) ((bits) >> 20 & 0xff)
#define JEMALLOC_FREE_IN_SLAB(bits) ((bits) >> 28 & 0x3ff)
extern size_t je_sz_index2size_tab[] __attribute__((visibility("hidden"))); /* by class */

/* Where an arena keeps what jemalloc knows of it; the first lies in its own first block (base.h).
 */
typedef struct jemalloc_base jemalloc_base;
struct jemalloc_base_block {
    size_t size;
    struct jemalloc_base_block *next;
};
#define JEMALLOC_BASE_ALIGNMENT ((uintptr_t)2 << 20)
typedef struct jemalloc_tsd jemalloc_tsdn; /* that may be NULL */

/* jemalloc's own, behind our stand-ins. */
bool jep_emap_register_boundary(jemalloc_tsdn *tsdn, void *emap, struct jemalloc_edata *extent,
                                unsigned class, bool slab);
void jep_emap_deregister_boundary(jemalloc_tsdn *tsdn, void *emap, struct jemalloc_edata *extent);
jemalloc_base *jep_base_new(jemalloc_tsdn *tsdn, unsigned index, const void *hooks,
                            bool metadata_use_hooks);
void *jep_base_alloc(jemalloc_tsdn *tsdn, jemalloc_base *base, size_t size, size_t alignment);
struct jemalloc_edata *jep_base_alloc_edata(jemalloc_tsdn *tsdn, jemalloc_base *base);
void jep_base_delete(jemalloc_tsdn *tsdn, jemalloc_base *base);
void jep_arena_reset(jemalloc_tsd *tsd, jemalloc_arena *arena);
void jep_pa_dalloc(jemalloc_tsdn *tsdn, void *shard, struct jemalloc_edata *extent, bool *deferred);
bool jep_large_ralloc_no_move(jemalloc_tsdn *tsdn, struct jemalloc_edata *extent, size_t least,
                              size_t most, bool zero);
void jep_prof_malloc_sample_object(jemalloc_tsd *tsd, const void *ptr, size_t size, size_t usable,
                                   void *tctx);
void *jep_prof_tctx_create(jemalloc_tsd *tsd);
uint64_t je_prof_sample_new_event_wait(jemalloc_tsd *tsd); /* ours, asked for by releases.c too */
void jep_tcache_cleanup(jemalloc_tsd *tsd);

/* What a thread does without where memory is used up (exhausted.c). */
typedef struct jemalloc_arena jemalloc_arena;
extern jemalloc_arena *je_arenas[];
jemalloc_arena *jep_arena_choose_hard(jemalloc_tsd *tsd, bool internal);
bool jep_tsd_tcache_data_init(jemalloc_tsd *tsd);
void je_tsd_slow_update(jemalloc_tsd *tsd);

#endif
