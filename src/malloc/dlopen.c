/* dlopen, and dlmopen into the program's own namespace, without RTLD_DEEPBIND.  A library that is
 * opened with it looks names up in itself and in what it needs first, so it finds libc's malloc and
 * free before ours, which the rest of the program has: a block that passes from one to the other
 * ends in the wrong free.  PHP, Apache and Samba open their modules so.
 *
 * The loader takes RUNPATH, $ORIGIN and the namespace from the address that dlopen returns to, so
 * that must be the caller's: what is exported (stubs_x86_64.S) clears one bit and jumps. */
#include "base/compiler.h"
#include "base/options.h"
#include "malloc/entry.h"
#include "malloc/foreign.h"
#include "prof/prof.h"

#include <dlfcn.h>

/* The next of that name: libc's, or that of a library which stands before it.  Until the first call
 * a stub that calls dlopen_resolve. */
extern void *dlopen_next __attribute__((visibility("hidden")));
extern void *dlmopen_next __attribute__((visibility("hidden")));
/* What stays of the flags; chosen before these are. */
extern int dlopen_flags __attribute__((visibility("hidden")));
int dlopen_flags = -1;

void dlopen_resolve(void);

/* The look-up takes the loader's lock, which dlopen itself takes, and libc has both, so that it
 * can neither be where dlopen could not be, nor fail.  Threads that come here at once do the same.
 */
void dlopen_resolve(void)
{
    memdebug_boot();
    void *next = dlsym(RTLD_NEXT, "dlopen"), *next_in = dlsym(RTLD_NEXT, "dlmopen");
    if (option_number(OPTION_DEEPBIND) == DEEPBIND_STRIP && !foreign_malloc())
        __atomic_store_n(&dlopen_flags, ~RTLD_DEEPBIND, __ATOMIC_RELAXED);
    __atomic_store_n(&dlopen_next, next, __ATOMIC_RELEASE);
    __atomic_store_n(&dlmopen_next, next_in, __ATOMIC_RELEASE);
}

/* dlclose asks nobody who calls it, so it can be called: samples must know when it is over. */
EXPORT int dlclose(void *handle)
{
    static int (*next)(void *);
    int (*close)(void *) = __atomic_load_n(&next, __ATOMIC_ACQUIRE);
    if (!close) {
        *(void **)&close = dlsym(RTLD_NEXT, "dlclose");
        __atomic_store_n(&next, close, __ATOMIC_RELEASE);
    }
    prof_before_close();
    int status = close(handle);
    prof_after_close();
    return status;
}
