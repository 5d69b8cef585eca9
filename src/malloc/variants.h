/* The functions behind the exported symbols that are not jemalloc's own. */
#ifndef MALLOC_VARIANTS_H
#define MALLOC_VARIANTS_H

#include <malloc.h>
#include <stddef.h>
#include <stdint.h>

/* Cold: what operator new does when memory is refused: runs the new handler as long as there is
 * one, then throws std::bad_alloc, or returns NULL where that may not be.  `again` tries once more.
 */
void *new_failed(void *(*again)(size_t alignment, size_t size), size_t alignment, size_t size,
                 int nothrow);

void *plain_calloc(size_t count, size_t size);
void *plain_realloc(void *ptr, size_t size);
void *plain_reallocarray(void *ptr, size_t count, size_t size);
void *plain_memalign(size_t alignment, size_t size);
void *plain_valloc(size_t size);
void *plain_pvalloc(size_t size);
void *plain_new(size_t size);
void *plain_new_nothrow(size_t size);
void *plain_new_aligned(size_t size, size_t alignment);
void *plain_new_aligned_nothrow(size_t size, size_t alignment);

/* At load: learns what a refused operator new will need. */
void common_init(void);

/* The arena of an allocation with that usable size and alignment, for which the program has chosen
 * `arena`, or none. */
struct jemalloc_arena *plain_arena(struct jemalloc_arena *arena, size_t usable, size_t alignment);

/* A sampled block with that usable size is about to be freed (pages.c). */
void pages_sample_freed(size_t usable);

/* The program's share in jemalloc's statistics, and giving memory back, are the same for both. */
int common_malloc_trim(size_t pad);
struct mallinfo common_mallinfo(void);
struct mallinfo2 common_mallinfo2(void);

#ifdef HOSTILE_ALLOCATIONS
extern void (*tracked_hostile)(void); /* called in an allocation, at each so-many-th */
#endif
void *tracked_malloc(size_t size);
void *tracked_calloc(size_t count, size_t size);
void *tracked_realloc(void *ptr, size_t size);
void *tracked_reallocarray(void *ptr, size_t count, size_t size);
void tracked_free(void *ptr);
int tracked_posix_memalign(void **out, size_t alignment, size_t size);
void *tracked_aligned_alloc(size_t alignment, size_t size);
void *tracked_memalign(size_t alignment, size_t size);
void *tracked_valloc(size_t size);
void *tracked_pvalloc(size_t size);
void *tracked_mallocx(size_t size, int flags);
void *tracked_rallocx(void *ptr, size_t size, int flags);
size_t tracked_xallocx(void *ptr, size_t size, size_t extra, int flags);
void tracked_dallocx(void *ptr, int flags);
void tracked_sdallocx(void *ptr, size_t size, int flags);
/* Takes all blocks in the range off the record. */
void tracked_forget(uintptr_t start, uintptr_t end);
size_t tracked_nallocx(size_t size, int flags);
int tracked_mallctl(const char *name, void *old, size_t *old_size, void *fresh, size_t fresh_size);
int tracked_mallctlbymib(const size_t *mib, size_t length, void *old, size_t *old_size, void *fresh,
                         size_t fresh_size);
void *tracked_new(size_t size);
void *tracked_new_nothrow(size_t size);
void *tracked_new_aligned(size_t size, size_t alignment);
void *tracked_new_aligned_nothrow(size_t size, size_t alignment);

/* Makes a changed sampling rate count for the calling thread at once; other threads meet it at the
 * end of their gap. */
void plain_redraw(void);
void tracked_redraw(void);

#endif
