/* fault.h for x86-64; the first register is rax. */
#ifndef GC_SYS_FAULT_X86_64_H
#define GC_SYS_FAULT_X86_64_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

static ALWAYS_INLINE uintptr_t fault_load(const uintptr_t *at)
{
    uintptr_t word;
    __asm__("1: movq %1, %%rax\n2:" FAULT_ENTRY("1b", "2b") : "=a"(word) : "m"(*at));
    return word;
}

static ALWAYS_INLINE bool fault_readable(const uintptr_t *at)
{
    uintptr_t is, word;
    __asm__ volatile("movl $1, %%eax\n1: movq %2, %1\n2:" FAULT_ENTRY("1b", "2b")
                     : "=&a"(is), "=&r"(word)
                     : "m"(*at));
    return is;
}

static inline void fault_leave(ucontext_t *context, uintptr_t to)
{
    context->uc_mcontext.gregs[REG_RIP] = (greg_t)to;
    context->uc_mcontext.gregs[REG_RAX] = 0;
}

#endif
