/* libunwind, kept to itself.  It is an ordinary shared library, whose calls go wherever the loader
 * leads them; in its table of calls, and in no other, some are led elsewhere:
 *
 *   - Its own functions to its own definitions: a program that exports functions of these names
 *     (another libunwind, linked statically) would otherwise be called in their place.
 *   - The question which object holds an address to loaded.h: the loader's answer takes its lock.
 *   - Where a stack has no unwind tables, libunwind asks whether an address can be read by mincore,
 *     and by writing a byte from there into a pipe of its own.  That pipe would be the program's
 *     descriptors 3 and 4; a daemon that closes all it has, and opens files of its own under the
 *     same numbers, would find libunwind's bytes in one and miss bytes of the other.  And a sandbox
 *     may kill for mincore.  So there is no pipe and no mincore, and the question is put to the
 *     kernel in another way.
 *   - What it maps is ours, and none of the program's mappings (prof/mapping.h).
 *   - What it reads of a stack: it remembers pages that could be read once, and takes them for
 *     mapped for ever.  In a walk of ours each is asked for anew.
 *
 * A program that uses the same libunwind shares all of this. */
#ifndef STACK_UNWINDER_H
#define STACK_UNWINDER_H

#include <stdbool.h>

#define UNW_LOCAL_ONLY
#include <libunwind.h>

/* libunwind's functions, under its own names without the prefix. */
struct unwinder {
    int (*getcontext)(unw_context_t *); /* where it is one (unwinder_here) */
    int (*init_local)(unw_cursor_t *, unw_context_t *);
    int (*get_reg)(unw_cursor_t *, unw_regnum_t, unw_word_t *);
    int (*get_proc_info)(unw_cursor_t *, unw_proc_info_t *);
    int (*step)(unw_cursor_t *);
    int (*backtrace)(void **, int);
};
extern struct unwinder unwinder;

/* Each machine's own:
 *
 *   unwinder_here(context)  the context of the function that it stands in, where a stack begins;
 *                           negative: it cannot be had
 *   UNWINDER_HERE           the entry for it in the table of libunwind's functions, ended by a
 *                           comma, where it is one of them; else nothing
 *   UNWINDER_SAME           whether unw_backtrace tells the same addresses as steps do
 *   UNWINDER_FRAME_POINTER  the register that is one where it is kept
 */
#if defined(__x86_64__)
#include "stack/unwinder_x86_64.h"
#elif defined(__aarch64__)
#include "stack/unwinder_aarch64.h"
#endif

/* Around a walk of the calling thread's: between them libunwind reads no word of a page that has
 * not been asked for since the first. */
void unwinder_enter(void);
void unwinder_leave(void);
/* Once, at load, with all signals blocked: asks the loader.  False: it is not there, or not of a
 * known shape, and must not be used: it would take the loader's lock inside an allocation. */
bool unwinder_init(void);

#endif
