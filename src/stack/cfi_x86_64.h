/* cfi.h for x86-64; the numbers are those of its ABI. */
#ifndef STACK_CFI_X86_64_H
#define STACK_CFI_X86_64_H

#define CFI_REGISTERS 17 /* the last is the address to return to */
#define CFI_SP 7
#define CFI_FP 6
#define CFI_PUSHES true
#define CFI_OF_CONTEXT                                                                             \
    {                                                                                              \
        REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_R8, REG_R9,    \
            REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP                          \
    }
#define CFI_CONTEXT_REGISTER(context, number) ((uint64_t)(context)->uc_mcontext.gregs[number])
#define CFI_CONTEXT_PC(context) CFI_CONTEXT_REGISTER(context, REG_RIP)

#endif
