#include "view/libdw.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>

static struct libdw table;
static bool complete;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void)
{
    /* Not RTLD_DEEPBIND: it would free with one malloc what another gave. */
    void *library = dlopen(LIBDW_SONAME, RTLD_NOW | RTLD_LOCAL);
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
