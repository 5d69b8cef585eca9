/* Who asked for a block: the innermost frame that is the program's own.  Allocators, the C library
 * and the containers of C++ and Rust allocate on behalf of whoever called them; naming them would
 * name no one. */
#ifndef VIEW_PLUMBING_H
#define VIEW_PLUMBING_H

#include <stdbool.h>

/* `module` is a base name. */
bool plumbing_is_module(const char *module);
/* `function` may be "": then the module tells. */
bool plumbing_is_function(const char *module, const char *function);
/* Whether it is this library itself, by path or base name: its frames are how a sample was taken,
 * not who allocated. */
bool plumbing_is_own(const char *path);
const char *plumbing_base_name(const char *path);

#endif
