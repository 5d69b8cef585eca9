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

struct frame_layout {
    char none;
};

static inline void frame_learn(struct frame_layout *layout)
{
    (void)layout;
}

static inline void frame_each_register(const ucontext_t *context, const struct frame_layout *layout,
                                       void (*fn)(void *ctx, uintptr_t start, uintptr_t end),
                                       void *ctx)
{
    (void)layout;
    fn(ctx, (uintptr_t)context->uc_mcontext.regs, (uintptr_t)(context->uc_mcontext.regs + 31));
    fn(ctx, (uintptr_t)context->uc_mcontext.__reserved,
       (uintptr_t)(context->uc_mcontext.__reserved + sizeof context->uc_mcontext.__reserved));
}

#endif
