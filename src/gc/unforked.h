/* Memory of the program that is in no copy of it (MADV_DONTFORK; V8 keeps its heap so).  What only
 * such memory points at would look unreachable in the snapshot child: it finds out, and the cycle
 * is done another way.
 *
 * What a program unmaps between the list and the snapshot, the stacks of threads that end, is told
 * from it by a second look afterwards. */
#ifndef GC_UNFORKED_H
#define GC_UNFORKED_H

#include <stdbool.h>
#include <stdint.h>

#define UNFORKED_MOST 32u

/* Addresses that the copy lacks, in the result of the snapshot. */
struct unforked {
    uint32_t count;
    uint64_t at[UNFORKED_MOST];
};

/* On the tracer thread, before the stop: lists what may hold pointers. */
void unforked_list(void);
/* In the child: what of the list it does not have. */
void unforked_find(struct unforked *missing);
/* On the tracer thread, afterwards: whether any of it is there now, and kept out of copies; reads
 * smaps, but only if something is missing. */
bool unforked_is_there(const struct unforked *missing);
/* In a forked copy: the list is the parent's. */
void unforked_renew(void);

#endif
