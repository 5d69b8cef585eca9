/* The stack of a parked thread, in a copy of the process. */
#ifndef GC_ASK_THREAD_STACK_H
#define GC_ASK_THREAD_STACK_H

#include "gc/stop/world.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Once in a copy, before the others: learns where code lies.  NULL, or why no stack can be seen. */
const char *thread_stacks_begin(void);
/* Return addresses, the innermost first, at most `most`: the first, and one that a signal has
 * interrupted, are one behind the instruction, as if a call returned there.  `*end` is an enum
 * md_stack_end.  How many. */
unsigned thread_stack(const struct world_thread *thread, uint64_t *pcs, unsigned most,
                      uint32_t *end);
/* Of the frame that the word at `at` lies in, what thread_stack says; 0: not known. */
uint64_t thread_stack_frame(const struct world_thread *thread, uintptr_t at);
/* Copies memory of the program's; what is not there is 0.  False: nothing can lie there. */
bool thread_stack_read(uintptr_t at, void *to, size_t size);
/* Whether an object holds `address`; its load bias. */
bool thread_stacks_module(uintptr_t address, uint64_t *bias);
/* Writes a record of each object that has been seen so far. */
void thread_stacks_tell_modules(void);

#endif
