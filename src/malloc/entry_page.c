/* The page of malloc and free where they are jemalloc's own code (copy_entries_x86_64.py): nothing
 * stands before it.  Their slots are used only once that page has been replaced. */
#include "base/os.h"
#include "malloc/entry.h"
#include "malloc/jemalloc.h"

#include <sys/mman.h>

extern char entry_page[] __attribute__((visibility("hidden")));
extern char entry_page_tracked[] __attribute__((visibility("hidden")));

extern void *slot_malloc __attribute__((visibility("hidden")));
extern void *slot_free __attribute__((visibility("hidden")));
void *slot_malloc, *slot_free;

/* Where jemalloc's malloc goes when its fast path does not do: the first call among them. */
void *je_malloc_default(size_t size);
void *entry_malloc_slow(size_t size);

void *entry_malloc_slow(size_t size)
{
    if (LIKELY(slot_malloc)) {
        jemalloc_asked_bytes = size;
        void *ptr = je_malloc_default(size);
        jemalloc_asked_bytes = 0;
        return ptr;
    }
    memdebug_boot();
    return ((void *(*)(size_t))slot_malloc)(size);
}

bool entry_can_track(void)
{
    /* Both are code of this library, mapped from its file: nothing becomes writable, and no policy
     * against that stands in the way.  No other thread exists yet. */
    if (os_mremap(entry_page_tracked, OS_PAGE, OS_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
                  entry_page) != (void *)entry_page)
        return false;
    /* So that nobody's memory comes to lie there. */
    (void)os_mmap(entry_page_tracked, OS_PAGE, PROT_NONE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0);
    return true;
}

uintptr_t entry_page_gone(void)
{
    return (uintptr_t)entry_page_tracked;
}
