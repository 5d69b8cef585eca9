/* The module that this code is in: what lies there is the allocator's and ours, and no root. */
#ifndef GC_ROOTS_OWN_MODULE_H
#define GC_ROOTS_OWN_MODULE_H

#include "heap/extents.h"

#include <stdint.h>

struct own_module {
    struct extent writable[8]; /* its writable segments, whole pages */
    unsigned count;
    /* Its thread-locals, the allocator's among them, from `tls_start` to `tls_end` bytes below each
     * thread's pointer (always the same place: initial-exec).  The allocator keeps addresses there
     * that are nobody's pointers: a multiple of 1 GiB for each region it has looked up, which lies
     * in some block if blocks are large. */
    uintptr_t tls_start, tls_end;
};
/* Nothing is in it where that module is the program itself: then the program's data is too. */
extern struct own_module own_module;

/* Where dl_iterate_phdr may be called. */
void own_module_find(void);

#endif
