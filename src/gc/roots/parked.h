/* What is the program's of a stopped thread: the part of its stack that is in use, and registers.
 * Nothing else that lies there is looked at: in the kernel's frame of a signal, and between the
 * frames of ours, there is what earlier calls have left.
 *
 * For whoever marks: raw system calls only. */
#ifndef GC_ROOTS_PARKED_H
#define GC_ROOTS_PARKED_H

#include "gc/stop/world.h"

#include <stdbool.h>
#include <stdint.h>

/* Before the first stop. */
void parked_init(void);

/* gc_note_wait (gc.h). */
void parked_note_wait(uintptr_t above, uintptr_t wait);

/* Whether it waits for us (gc_note_wait). */
bool parked_waits(const struct world_thread *thread);

/* The lowest word in use of the stack that a PARKED or BLOCKED thread is on; also when it runs
 * again: as it was in the stop. */
uintptr_t parked_point(const struct world_thread *thread);

/* Calls fn for each piece of memory that has its registers, aligned words, while it is PARKED. */
void parked_each_register(const struct world_thread *thread,
                          void (*fn)(void *ctx, uintptr_t start, uintptr_t end), void *ctx);

#endif
