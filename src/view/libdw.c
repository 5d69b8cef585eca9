#include "view/libdw.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

/* Written by load alone, which `once` guards. */
static struct libdw table;
static bool complete;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* libdw and libelf must be of one build of elfutils.  If the program has loaded the system's
 * libelf, the calls of a libdw that comes with us (meson's option bundled) would go there, so then
 * the system's libdw is taken too. */
static const char *fitting_libdw(void)
{
    static const char common[] = "libdw.so.1";
    bool bundled = strcmp(LIBDW_SONAME, common) != 0;
    return bundled && dlopen("libelf.so.1", RTLD_LAZY | RTLD_NOLOAD) ? common : LIBDW_SONAME;
}

static void load(void)
{
    /* Not RTLD_DEEPBIND: it would free with one malloc what another gave. */
    void *library = dlopen(fitting_libdw(), RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return;
    complete = true;
    /* libelf's functions are found through libdw, which depends on it. */
#define LIBDW_LOAD(name)                                                                           \
    *(void **)&table.name = dlsym(library, #name);                                                 \
    complete = complete && table.name;
    LIBDW_FUNCTIONS(LIBDW_LOAD)
#undef LIBDW_LOAD
    if (complete)
        table.elf_version(EV_CURRENT);
}

const struct libdw *libdw_get(void)
{
    pthread_once(&once, load);
    return complete ? &table : NULL;
}
