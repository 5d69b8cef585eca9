/* Loads that may fault.  A task that marks in place (task.h) reads memory that the program may
 * unmap or protect at any moment; such a load is left out instead of ending the task.
 *
 * Each load that may fault is listed by address in a table of the linker's (section fault_table)
 * with the place to go on at; the handler of SIGSEGV and SIGBUS looks the faulting instruction up.
 * A load that does not fault costs what a plain one does.
 *
 * Only for code that runs in a task, or in the snapshot child (which has another handler: there the
 * load reads 0). */
#ifndef GC_FAULT_H
#define GC_FAULT_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

/* In inline assembly: behind an instruction that may fault, which stands between the labels FROM
 * and TO.  At TO rax is 0 if it did, and what the instruction should have set is as it was. */
#define FAULT_ENTRY(from, to)                                                                      \
    "\n\t.pushsection fault_table, \"a\", @progbits\n\t.balign 4\n\t.long " from " - ., " to       \
    " - .\n\t.popsection\n"

/* *at; 0 if it cannot be read. */
static ALWAYS_INLINE uintptr_t fault_load(const uintptr_t *at)
{
    uintptr_t word;
    __asm__("1: movq %1, %%rax\n2:" FAULT_ENTRY("1b", "2b") : "=a"(word) : "m"(*at));
    return word;
}

/* Whether it can be read. */
static ALWAYS_INLINE bool fault_readable(const uintptr_t *at)
{
    uintptr_t is, word;
    __asm__ volatile("movl $1, %%eax\n1: movq %2, %1\n2:" FAULT_ENTRY("1b", "2b")
                     : "=&a"(is), "=&r"(word)
                     : "m"(*at));
    return is;
}

/* Faults left out before it is taken for an error of ours.  About 2 us each. */
#define FAULT_MOST 262144u

/* Loads left out so far, by all tasks that mark. */
extern volatile uint32_t fault_count; /* changes behind a load */

/* In the task, first thing: installs the handler (for the task's own signal table; tasks that it
 * starts inherit it) and sets the count to 0.  `give_up` is called on a fault that is in no table,
 * or too many; it must not return. */
void fault_handle(void (*give_up)(void));

#endif
