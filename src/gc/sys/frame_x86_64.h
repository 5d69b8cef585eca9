/* frame.h for x86-64. */
#ifndef GC_SYS_FRAME_X86_64_H
#define GC_SYS_FRAME_X86_64_H

#include "gc/sys/raw.h"

#include <asm/prctl.h>
#include <stdint.h>
#include <ucontext.h>

#define FRAME_RED_ZONE 128

static inline uintptr_t frame_pc(const ucontext_t *context)
{
    return (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
}

static inline uintptr_t frame_sp(const ucontext_t *context)
{
    return (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
}

/* Not by looking at %fs:0, where there may be nothing. */
static inline uintptr_t frame_thread_pointer(void)
{
    uintptr_t pointer = 0;
    RAW3(SYS_arch_prctl, ARCH_GET_FS, &pointer, 0);
    return pointer;
}

#endif
