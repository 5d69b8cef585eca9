/* Which frames are plumbing: allocators, the C library and the containers of C++ and Rust, which
 * allocate on behalf of their callers, and a JVM's functions that map on behalf of theirs.  The
 * frame to blame for a block or a mapping is the innermost that is not.  Pure functions. */
#ifndef VIEW_PLUMBING_H
#define VIEW_PLUMBING_H

#include <stdbool.h>

/* `module` is a base name. */
bool plumbing_is_module(const char *module);
/* Whether the function, or all of its module, is; `function` may be "". */
bool plumbing_is_function(const char *module, const char *function);
/* Whether it is this library itself, by path or base name: its frames are how a sample was taken,
 * not who allocated. */
bool plumbing_is_own(const char *path);
/* What follows the last slash. */
const char *plumbing_base_name(const char *path);

#endif
