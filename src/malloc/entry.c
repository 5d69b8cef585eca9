#include "malloc/entry.h"

#include "base/compiler.h"
#include "base/machine.h"
#include "malloc/foreign.h"
#include "malloc/jemalloc.h"
#include "malloc/variants.h"

#include <dlfcn.h>

/* They begin at stubs that boot and go on through the slot again (stubs_x86_64.S); those of malloc
 * and free do not where both are copied (entry_page.c). */
#define ENTRY(name, plain, tracked) extern void *slot_##name __attribute__((visibility("hidden")));
#define ENTRY_OWN_PAGE ENTRY
#define ENTRY_SECOND ENTRY
#define ENTRY_OPERATOR(name, plain, tracked, foreign) ENTRY(name, plain, tracked)
#include "malloc/entry_points.def"
#undef ENTRY
#undef ENTRY_OWN_PAGE
#undef ENTRY_SECOND
#undef ENTRY_OPERATOR

static void leave(void **slot, const char *name)
{
    void *libc = dlvsym(RTLD_NEXT, name, MACHINE_GLIBC);
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
