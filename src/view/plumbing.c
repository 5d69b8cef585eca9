#include "view/plumbing.h"

#include "view/wrappers.h"

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
    static const char *const modules[] = {OWN_LIBRARY, "libc.so",      "libc-2",
                                          "ld-linux",  "libstdc++.so", "libc++.so"};
    for (size_t i = 0; i < sizeof modules / sizeof modules[0]; i++)
        if (strncmp(module, modules[i], strlen(modules[i])) == 0)
            return true;
    return false;
}

bool plumbing_is_function(const char *module, const char *function)
{
    return plumbing_is_module(module) || wrappers_has(function);
}
