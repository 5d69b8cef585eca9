/* Loads that may fault.  A task that marks in place (task.h) reads memory that the program may
 * unmap or protect at any moment; such a load is left out instead of ending the task.
 *
 * Each load that may fault is listed by address in a table of the linker's (section fault_table)
 * with the place to go on at; the handler of SIGSEGV and SIGBUS looks the faulting instruction up.
 * A load that does not fault costs what a plain one does.
 *
 * Only for code that runs in a task, or in the snapshot child (which has another handler: there the
 * load reads 0). */
#ifndef GC_SYS_FAULT_H
#define GC_SYS_FAULT_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

/* In inline assembly: behind an instruction that may fault, which stands between the labels FROM
 * and TO.  At TO the machine's first register (below) is 0 if it did, and what the instruction
 * should have set is as it was. */
#define FAULT_ENTRY(from, to)                                                                      \
    "\n\t.pushsection fault_table, \"a\", %%progbits\n\t.balign 4\n\t.long " from " - ., " to      \
    " - .\n\t.popsection\n"

/* The machine's own:
 *   fault_load(at)            *at; 0 if it cannot be read
 *   fault_readable(at)        whether it can be read
 *   fault_leave(context, to)  in the handler: goes on at `to` with 0 in the first register */
#if defined(__x86_64__)
#include "gc/sys/fault_x86_64.h"
#elif defined(__aarch64__)
#include "gc/sys/fault_aarch64.h"
#endif

/* Faults left out before it is taken for an error of ours.  About 2 us each. */
#define FAULT_MAX 262144u

/* Loads left out so far, by all tasks that mark. */
extern volatile uint32_t fault_count; /* the handler changes it, behind a load */

/* In the task, first thing: installs the handler (for the task's own signal table; tasks that it
 * starts inherit it) and sets the count to 0.  `give_up` is called on a fault that is in no table,
 * or too many; it must not return. */
void fault_handle(void (*give_up)(void));

#endif
