/* fault.h for aarch64; the first register is x0. */
#ifndef GC_SYS_FAULT_AARCH64_H
#define GC_SYS_FAULT_AARCH64_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

static ALWAYS_INLINE uintptr_t fault_load(const uintptr_t *at)
{
    register uintptr_t x0 __asm__("x0");
    __asm__("1: ldr x0, %1\n2:" FAULT_ENTRY("1b", "2b") : "=r"(x0) : "m"(*at));
    return x0;
}

static ALWAYS_INLINE bool fault_readable(const uintptr_t *at)
{
    register uintptr_t x0 __asm__("x0") = 1;
    uintptr_t word;
    __asm__ volatile("1: ldr %1, %2\n2:" FAULT_ENTRY("1b", "2b")
                     : "+r"(x0), "=&r"(word)
                     : "m"(*at));
    return x0;
}

static inline void fault_leave(ucontext_t *context, uintptr_t to)
{
    context->uc_mcontext.pc = to;
    context->uc_mcontext.regs[0] = 0;
}

#endif
