/* Stacks as libc has them on record: in struct pthread at the top of each, with the start and the
 * size that pthread_create has made or was given.  Below the place in use of such a stack nothing
 * is alive; and libc keeps the stacks of threads that have ended, for the next ones.
 *
 * Each begins with a guard.  That is a mapping without access; or, by glibc from 2.42 on where
 * Linux can (6.13), a mark in the page table, with which stacks that adjoin are one mapping,
 * together with whatever else of the program's lies next to them.
 *
 * For whoever marks: raw system calls only. */
#ifndef GC_ROOTS_LIBC_STACK_H
#define GC_ROOTS_LIBC_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the process, before the first cycle: whether Linux can mark guards. */
void libc_stack_init(void);

/* On a thread of ours with the stack that pthread_create was given: finds where libc records that,
 * if it is not known yet.  Until then no stack is found. */
void libc_stack_find_field(const void *stack, size_t size);

struct libc_stack {
    uintptr_t start, end;
    uintptr_t thread; /* its struct pthread, which is what a thread pointer points at */
};

/* Whether a page is marked as a guard. */
bool libc_stack_is_guard(uintptr_t page);

/* The stack that ends where a piece of a mapping, from start to end, does; with `behind_guard` the
 * piece begins right behind a mapping without access.  `live` is the highest pointer in it of a
 * thread that runs, 0 if there is none: it saves the search.  False: it is no stack, or not known
 * as one, as any memory may come to lie behind a guard, or below a stack that the program (or we)
 * handed to pthread_create, with which the kernel makes one mapping of it. */
bool libc_stack_at_end(uintptr_t start, uintptr_t end, bool behind_guard, uintptr_t live,
                       struct libc_stack *found);

#endif
