/* The mmap kind: which ranges of the address space the program has mapped itself, and which stack
 * did.  Nothing is sampled: there are thousands of mappings, not millions.
 *
 * The system call comes first, the record behind it.  Between the two another thread may unmap or
 * be given the same addresses, and be recorded first; so each record has a serial number, and
 * whoever unmaps takes away only what is not younger than its own call.
 *
 * Each function does nothing on threads of ours.  Where a signal handler comes in the middle of
 * another record, its own is done as soon as that is (record_defer).  errno is kept. */
#ifndef PROF_MAPPING_H
#define PROF_MAPPING_H

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tables;

/* From here on; before threads. */
void mapping_begin(void);
/* Names this moment: before a call that unmaps. */
uint64_t mapping_moment(void);
/* The caller has mapped the pages of this range, in place of whatever was there.  What: a label of
 * this kind. */
void mapping_add(uintptr_t start, size_t size, enum md_label what);
/* The pages of this range have been unmapped by a call that began at `moment`. */
void mapping_remove(uintptr_t start, size_t size, uint64_t moment);
/* Whether the address lies in a range on record, so that another thread may unmap it: also where
 * that cannot be found out now.  What is mapped there in *what, where it is known. */
bool mapping_has(uintptr_t address, enum md_label *what);
/* Takes away the threads' stacks that are not there any more: libc unmaps them without a word. */
void mapping_sweep_stacks(void);
/* In a forked copy, with empty tables and the tables locked: takes over the parent's, whose stacks
 * `stack_of` brings into ours. */
void mapping_inherit_locked(const struct tables *parent,
                            uint32_t (*stack_of)(const struct tables *parent, uint32_t id));

#endif
