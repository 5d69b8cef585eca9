/* Which frames are plumbing: the C library, the standard library of C++ and, in any module,
 * wrappers (wrappers.h), all of which allocate or map on behalf of their callers.  The frame to
 * blame for a block or a mapping is the innermost that is not. */
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
