/* frame.h for aarch64. */
#ifndef GC_SYS_FRAME_AARCH64_H
#define GC_SYS_FRAME_AARCH64_H

#include <stdint.h>
#include <ucontext.h>

#define FRAME_RED_ZONE 0

static inline uintptr_t frame_pc(const ucontext_t *context)
{
    return context->uc_mcontext.pc;
}

static inline uintptr_t frame_sp(const ucontext_t *context)
{
    return context->uc_mcontext.sp;
}

static inline uintptr_t frame_thread_pointer(void)
{
    uintptr_t pointer;
    __asm__ volatile("mrs %0, tpidr_el0" : "=r"(pointer));
    return pointer;
}

#endif
