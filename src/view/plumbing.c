#include "view/plumbing.h"

#include <stddef.h>
#include <string.h>

#define OWN_LIBRARY "libmemdebug.so"

const char *plumbing_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool plumbing_is_own(const char *path)
{
    return strncmp(plumbing_base_name(path), OWN_LIBRARY, sizeof OWN_LIBRARY - 1) == 0;
}

bool plumbing_is_module(const char *module)
{
    static const char *const modules[] = {OWN_LIBRARY, "libc.so", "libc-2", "ld-linux",
                                          "libstdc++.so"};
    for (size_t i = 0; i < sizeof modules / sizeof modules[0]; i++)
        if (strncmp(module, modules[i], strlen(modules[i])) == 0)
            return true;
    return false;
}

bool plumbing_is_function(const char *module, const char *function)
{
    static const char *const prefixes[] = {
        "operator new", "std::", "__gnu_cxx::", "void std::", "void* std::",
        /* Rust's: whole crates where no C++ name begins like that. */
        "<std::", "<core::", "<alloc::", "<hashbrown::", "hashbrown::", "__rust", "__rdl_",
        "alloc::alloc::", "alloc::raw_vec::", "alloc::vec::", "alloc::string::", "alloc::boxed::",
        "alloc::rc::", "alloc::sync::", "alloc::collections::", "alloc::fmt::", "alloc::slice::",
        "core::iter::", "core::ops::", "core::option::", "core::result::", "core::fmt::"};
    /* The last three are a JVM's, through which all goes that it maps. */
    static const char *const parts[] = {"malloc",        "calloc",    "realloc",
                                        "strdup",        "memalign",  "reserve_memory",
                                        "commit_memory", "map_memory"};
    if (plumbing_is_module(module))
        return true;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (strncmp(function, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strcasestr(function, parts[i]))
            return true;
    return false;
}
