/* Keeps the segment's module table: which object file held an address when a stack was taken.
 * Modules that are unloaded stay in the table, marked gone, so that their stacks keep their names.
 *
 * Asks the loader only when a new stack is interned; never waits for a thread that is doing the
 * same.  Call it without any lock of ours held. */
#ifndef STACK_MODULES_H
#define STACK_MODULES_H

#include <stdbool.h>
#include <stdint.h>

/* Makes sure that the table knows the modules of these addresses; returns the table's epoch, which
 * grows when a module goes. */
uint32_t modules_epoch(const uint64_t *pcs, unsigned count);
/* Keeps the table as it is while it is moved; false: somebody is at work on it. */
bool modules_try(void);
void modules_release(void);
/* In a forked copy, with an empty table. */
void modules_renew(void);

#endif
