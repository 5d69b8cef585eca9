/* How the allocated blocks are told where there is no object map: by whoever can read the
 * allocator's own records (malloc/metadata.h), to whoever marks (gc/engine/allocated.h). */
#ifndef HEAP_ALLOCATED_H
#define HEAP_ALLOCATED_H

#include <stdbool.h>
#include <stdint.h>

/* A thread of the program's, as it stands still. */
struct allocated_thread {
    uintptr_t pointer; /* thread pointer; 0: not known */
    bool inside;       /* it may be in the middle of the allocator's code */
    bool seen;         /* for whoever is given it; false at first */
};

/* What is told of a block beside that it is there.  Where nothing reaches it nobody reports it. */
enum allocated_note {
    ALLOCATED_DOUBTED, /* it may be free */
    ALLOCATED_OURS     /* the library's or the allocator's own: counts for nothing */
};
typedef void allocated_tell(void *ctx, uintptr_t block, enum allocated_note note);

/* Enters the allocated blocks in the object map, which is there and empty.  Called in a frozen copy
 * of the process, or while it stands still: allocates nothing and takes no lock.  NULL: done; else
 * why not. */
typedef const char *allocated_enter(struct allocated_thread *threads, unsigned count,
                                    allocated_tell *tell, void *ctx);

#endif
