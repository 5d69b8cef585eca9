/* machine.h for x86-64. */
#ifndef BASE_MACHINE_X86_64_H
#define BASE_MACHINE_X86_64_H

#include "base/compiler.h"

#include <elf.h>
#include <stdint.h>

#define OS_PAGE 4096u
#define OS_ADDRESS_BITS 47
#define OS_ADDRESS_BITS_MAX 47
#define MACHINE_NAME "x86-64"
#define MACHINE_ELF EM_X86_64
#define MACHINE_GLIBC "GLIBC_2.2.5"
#define MACHINE_SLOT(type) ((type) == R_X86_64_JUMP_SLOT || (type) == R_X86_64_GLOB_DAT)

static ALWAYS_INLINE void cpu_relax(void)
{
    __builtin_ia32_pause();
}

/* With AVX-512 libc copies by registers of which other code knows nothing, and leaves them; its
 * copies by AVX clear the upper halves. */
static ALWAYS_INLINE void cpu_clear_vectors(void)
{
    __asm__ volatile("pxor %%xmm0, %%xmm0\n pxor %%xmm1, %%xmm1\n pxor %%xmm2, %%xmm2\n"
                     "pxor %%xmm3, %%xmm3\n pxor %%xmm4, %%xmm4\n pxor %%xmm5, %%xmm5\n"
                     "pxor %%xmm6, %%xmm6\n pxor %%xmm7, %%xmm7\n pxor %%xmm8, %%xmm8\n"
                     "pxor %%xmm9, %%xmm9\n pxor %%xmm10, %%xmm10\n pxor %%xmm11, %%xmm11\n"
                     "pxor %%xmm12, %%xmm12\n pxor %%xmm13, %%xmm13\n pxor %%xmm14, %%xmm14\n"
                     "pxor %%xmm15, %%xmm15\n" ::
                         : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                           "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    if (__builtin_cpu_supports("avx512vl"))
        __asm__ volatile("vpxord %xmm16, %xmm16, %xmm16\n vpxord %xmm17, %xmm17, %xmm17\n"
                         "vpxord %xmm18, %xmm18, %xmm18\n vpxord %xmm19, %xmm19, %xmm19\n"
                         "vpxord %xmm20, %xmm20, %xmm20\n vpxord %xmm21, %xmm21, %xmm21\n"
                         "vpxord %xmm22, %xmm22, %xmm22\n vpxord %xmm23, %xmm23, %xmm23\n"
                         "vpxord %xmm24, %xmm24, %xmm24\n vpxord %xmm25, %xmm25, %xmm25\n"
                         "vpxord %xmm26, %xmm26, %xmm26\n vpxord %xmm27, %xmm27, %xmm27\n"
                         "vpxord %xmm28, %xmm28, %xmm28\n vpxord %xmm29, %xmm29, %xmm29\n"
                         "vpxord %xmm30, %xmm30, %xmm30\n vpxord %xmm31, %xmm31, %xmm31\n");
}

/* Where the stack of a thread that libc has made ends, by the address of its control block: that
 * lies in its last page (variant II of thread-local storage). */
static ALWAYS_INLINE uintptr_t cpu_stack_limit(uintptr_t thread)
{
    return (thread | (OS_PAGE - 1)) + 1;
}

static ALWAYS_INLINE uintptr_t machine_code_address(uintptr_t address)
{
    return address;
}

#endif
