/* frame.h for x86-64. */
#ifndef GC_SYS_FRAME_X86_64_H
#define GC_SYS_FRAME_X86_64_H

#include "gc/sys/fault.h"
#include "gc/sys/raw.h"

#include <asm/prctl.h>
#include <cpuid.h>
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

/* State components of XSAVE with vectors: of YMM the upper halves, masks, of ZMM the upper halves,
 * ZMM16 to 31. */
#define FRAME_VECTORS 4u
#define FRAME_VECTOR_BITS                                                                          \
    {                                                                                              \
        2, 5, 6, 7                                                                                 \
    }

struct frame_layout {
    unsigned offset[FRAME_VECTORS], size[FRAME_VECTORS]; /* 0: there is none */
};

static inline void frame_learn(struct frame_layout *layout)
{
    static const unsigned char bit[] = FRAME_VECTOR_BITS;
    unsigned c, d;
    for (unsigned i = 0; i < FRAME_VECTORS; i++)
        if (!__get_cpuid_count(0xd, bit[i], &layout->size[i], &layout->offset[i], &c, &d))
            layout->size[i] = 0;
}

static inline void frame_each_register(const ucontext_t *context, const struct frame_layout *layout,
                                       void (*fn)(void *ctx, uintptr_t start, uintptr_t end),
                                       void *ctx)
{
    static const unsigned char bit[] = FRAME_VECTOR_BITS;
    const greg_t *general = context->uc_mcontext.gregs;
    fn(ctx, (uintptr_t)&general[REG_R8], (uintptr_t)&general[REG_RIP + 1]);
    uintptr_t area = fault_load((const uintptr_t *)&context->uc_mcontext.fpregs);
    if (!area)
        return;
    /* ST0 to 7 (MM0 to 7) and XMM0 to 15, at the place that FXSAVE gives them.  Behind all that it
     * knows, at 464, the kernel says whether there is more: of that, at 512, what was written. */
    fn(ctx, area + 32, area + 416);
    if ((uint32_t)fault_load((const uintptr_t *)(area + 464)) != FP_XSTATE_MAGIC1)
        return;
    uint64_t written = fault_load((const uintptr_t *)(area + 512));
    for (unsigned i = 0; i < FRAME_VECTORS; i++)
        if (written >> bit[i] & 1)
            fn(ctx, area + layout->offset[i], area + layout->offset[i] + layout->size[i]);
}

#endif
