/* What restart_probe_x86_64.c tries and teaches restart_x86_64.c.  A machine on which the kernel
 * leaves the number in a register needs nothing of it: all calls can be read there. */
#ifndef GC_STOP_RESTART_X86_64_H
#define GC_STOP_RESTART_X86_64_H

#include <stdint.h>
#include <ucontext.h>

/* From glibc 2.41 on, all calls that can be cancelled are made in one place, whose caller has their
 * number on its stack.  Where it lies there is the compiler's choice: it is learned from calls
 * whose number is known.  Written by restart_probe, before the first stop, and never after; stop
 * handlers read it. */
struct restart_stub {
    uintptr_t pc;     /* where the calls return to; 0: libc has no such place */
    uintptr_t caller; /* the only one known */
    uint64_t words;   /* bit n: all had their number in word n above the stack pointer */
    unsigned calls;   /* that have been looked at: one tells nothing yet */
};
extern struct restart_stub restart_stub;

/* Looks at a call that a signal has interrupted, in its handler: is its number read, and is it one
 * of these two?  Learns where restart_stub has it. */
enum restart_seen {
    RESTART_NO_CALL, /* it was not in one */
    RESTART_READ,
    RESTART_NOT_READ
};
enum restart_seen restart_learn(const ucontext_t *context, const int numbers[2]);

#endif
