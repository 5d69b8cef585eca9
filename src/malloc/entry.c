#include "malloc/entry.h"

#include "base/compiler.h"
#include "base/os.h"
#include "malloc/foreign.h"
#include "malloc/jemalloc.h"
#include "malloc/variants.h"

#include <dlfcn.h>
#include <sys/mman.h>

extern char entry_page[] __attribute__((visibility("hidden")));

/* malloc and free are jemalloc's own code (copy_entries_x86_64.py); their slots are used only once
 * their page has been replaced. */
extern void *slot_malloc __attribute__((visibility("hidden")));
extern void *slot_free __attribute__((visibility("hidden")));
void *slot_malloc, *slot_free;

/* Where jemalloc's malloc goes when its fast path does not do: the first call among them. */
void *je_malloc_default(size_t size);
void *entry_malloc_slow(size_t size);

void *entry_malloc_slow(size_t size)
{
    if (LIKELY(slot_malloc))
        return je_malloc_default(size);
    memdebug_boot();
    return ((void *(*)(size_t))slot_malloc)(size);
}

/* They begin at stubs that boot and go on through the slot again (stubs_x86_64.S). */
#define ENTRY(name, plain, tracked) extern void *slot_##name __attribute__((visibility("hidden")));
#define ENTRY_OWN_PAGE(name, plain, tracked)
#define ENTRY_SECOND ENTRY
#define ENTRY_OPERATOR(name, plain, tracked, foreign) ENTRY(name, plain, tracked)
#include "malloc/entry_points.def"
#undef ENTRY
#undef ENTRY_OWN_PAGE
#undef ENTRY_SECOND
#undef ENTRY_OPERATOR

bool entry_can_track(void)
{
    /* Both are code of this library, mapped from its file: nothing becomes writable, and no policy
     * against that stands in the way.  No other thread exists yet. */
    if (mremap(entry_page_tracked, OS_PAGE, OS_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, entry_page) !=
        (void *)entry_page)
        return false;
    /* So that nobody's memory comes to lie there. */
    (void)mmap(entry_page_tracked, OS_PAGE, PROT_NONE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0);
    return true;
}

static void leave(void **slot, const char *name)
{
    void *libc = dlvsym(RTLD_NEXT, name, "GLIBC_2.2.5");
    if (libc)
        *slot = libc;
}

void entry_choose(bool tracked)
{
#define ENTRY_OWN_PAGE ENTRY
#define ENTRY_SECOND ENTRY
#define ENTRY_OPERATOR(name, plain, tracked, foreign) ENTRY(name, plain, tracked)
#define ENTRY(name, plain_function, tracked_function)                                              \
    slot_##name = tracked ? (void *)(tracked_function) : (void *)(plain_function);
#include "malloc/entry_points.def"
#undef ENTRY
#undef ENTRY_OWN_PAGE
#undef ENTRY_SECOND
#undef ENTRY_OPERATOR
}

void entry_leave_seconds(void)
{
#define ENTRY(name, plain, tracked)
#define ENTRY_OWN_PAGE ENTRY
#define ENTRY_SECOND(name, plain, tracked) leave(&slot_##name, #name);
#define ENTRY_OPERATOR(name, plain, tracked, foreign)
#include "malloc/entry_points.def"
#undef ENTRY
#undef ENTRY_OWN_PAGE
#undef ENTRY_SECOND
#undef ENTRY_OPERATOR
}

void entry_follow_foreign(void)
{
#define ENTRY(name, plain, tracked)
#define ENTRY_OWN_PAGE ENTRY
#define ENTRY_SECOND ENTRY
#define ENTRY_OPERATOR(name, plain, tracked, foreign) slot_##name = (void *)(foreign);
#include "malloc/entry_points.def"
#undef ENTRY
#undef ENTRY_OWN_PAGE
#undef ENTRY_SECOND
#undef ENTRY_OPERATOR
}
