/* cfi.h for aarch64; the numbers are those of its ABI. */
#ifndef STACK_CFI_AARCH64_H
#define STACK_CFI_AARCH64_H

#define CFI_REGISTERS 32 /* x0 to x30, sp */
#define CFI_SP 31
#define CFI_FP 29
#define CFI_PUSHES false
#define CFI_OF_CONTEXT                                                                             \
    {                                                                                              \
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,  \
            25, 26, 27, 28, 29, 30, 31                                                             \
    }
/* uc_mcontext has sp behind regs[30]. */
#define CFI_CONTEXT_REGISTER(context, number)                                                      \
    ((number) < 31 ? (uint64_t)(context)->uc_mcontext.regs[(number) % 31]                          \
                   : (uint64_t)(context)->uc_mcontext.sp)
#define CFI_CONTEXT_PC(context) ((uint64_t)(context)->uc_mcontext.pc)

#endif
