/* What a root is called: whose register, stack or thread-local, or what of which mapping. */
#ifndef GC_ASK_WHERE_H
#define GC_ASK_WHERE_H

#include <memdebug/segment.h>
#include <stdint.h>

/* In the process, where dl_iterate_phdr may be called: how far below a thread's pointer its
 * thread-locals lie. */
void where_init(void);
/* In the copy, once before the other. */
void where_begin(void);
/* Fills in the root of a path, by the address of its word. */
void where_is(uintptr_t word, struct md_answer_path *path);

#endif
