#include "mhd.h"

#include <dlfcn.h>
#include <stdbool.h>

const struct mhd *mhd_get(const char **why)
{
    static struct mhd table;
    bool complete = true;
    void *library = dlopen("libmicrohttpd.so.12", RTLD_NOW | RTLD_LOCAL);
    *why = "serve needs libmicrohttpd.so.12, which is not here "
           "(Debian: apt-get install libmicrohttpd12, from 13 on libmicrohttpd12t64)";
    if (!library)
        return NULL;
#define MHD_LOAD(name)                                                                             \
    *(void **)&table.name = dlsym(library, #name);                                                 \
    complete = complete && table.name;
    MHD_FUNCTIONS(MHD_LOAD)
#undef MHD_LOAD
    *why = "this libmicrohttpd.so.12 lacks functions that serve needs";
    return complete ? &table : NULL;
}
