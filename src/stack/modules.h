/* Keeps the segment's module table: which object file held an address when a stack was taken.
 * Modules that are unloaded stay in the table, so that their stacks keep their names; they are
 * marked gone when something else is found in their place.
 *
 * Each object of a new stack is compared with what the table has there, without the loader's locks
 * (loaded.h): the loader need not be asked what has changed. */
#ifndef STACK_MODULES_H
#define STACK_MODULES_H

#include "stack/loaded.h"

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stdint.h>

/* Makes sure that the table knows the modules of these return addresses, which are on the caller's
 * stack; returns the table's epoch, which grows whenever the table changes: of the modules that
 * hold an address in a stack's epoch, none has come later.  Call it without any lock of ours held.
 */
uint32_t modules_epoch(const uint64_t *pcs, unsigned count);
/* What the table would say of this one; asks for nothing in it.  Of an object that stays loaded
 * meanwhile, as in a copy of the process. */
void modules_describe(const struct loaded *object, struct md_module *module);
/* The tables for unwinding of all modules that are not known to have gone: from .eh_frame_hdr to
 * the end of its segment, as addresses. */
void modules_each_tables(void (*each)(uintptr_t start, uintptr_t end));
/* Keeps the table as it is while it is moved; false: somebody is at work on it. */
bool modules_try(void);
void modules_release(void);
/* In a forked copy, with an empty table: takes over what the parent's had at the fork, of which
 * `readable` entries can be read (0: nothing); epochs of stacks stay good. */
void modules_inherit(const struct md_module *parent, uint64_t readable);

#endif
