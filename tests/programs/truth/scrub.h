/* For programs that know which of their objects are reachable: an address that survives by accident
 * in a dead frame or a register would make a leak look reachable, so whoever has dropped one clears
 * away what calls leave behind. */
#ifndef TESTS_SCRUB_H
#define TESTS_SCRUB_H

#include "noinline.h"

#include <stdint.h>
#include <string.h>

/* Vector registers, high ones too: glibc's string functions leave copied bytes in them. */
__attribute__((target("avx512f"))) static inline void clear_high_vectors(void)
{
    __asm__ volatile("vpxord %%zmm16, %%zmm16, %%zmm16\n vpxord %%zmm17, %%zmm17, %%zmm17\n"
                     "vpxord %%zmm18, %%zmm18, %%zmm18\n vpxord %%zmm19, %%zmm19, %%zmm19\n"
                     "vpxord %%zmm20, %%zmm20, %%zmm20\n vpxord %%zmm21, %%zmm21, %%zmm21\n"
                     "vpxord %%zmm22, %%zmm22, %%zmm22\n vpxord %%zmm23, %%zmm23, %%zmm23\n"
                     "vpxord %%zmm24, %%zmm24, %%zmm24\n vpxord %%zmm25, %%zmm25, %%zmm25\n"
                     "vpxord %%zmm26, %%zmm26, %%zmm26\n vpxord %%zmm27, %%zmm27, %%zmm27\n"
                     "vpxord %%zmm28, %%zmm28, %%zmm28\n vpxord %%zmm29, %%zmm29, %%zmm29\n"
                     "vpxord %%zmm30, %%zmm30, %%zmm30\n vpxord %%zmm31, %%zmm31, %%zmm31\n" ::
                         : "memory");
}

__attribute__((target("avx"))) static inline void clear_vectors(void)
{
    __asm__ volatile("vzeroall" ::
                         : "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
                           "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

/* Overwrites the dead frames below the caller, and the registers that it does not own. */
NOINLINE __attribute__((unused)) static void scrub(void)
{
    uint64_t frames[8192];
    memset(frames, 0, sizeof frames);
    __asm__ volatile("" : : "r"(frames) : "memory");
    if (__builtin_cpu_supports("avx512f"))
        clear_high_vectors();
    if (__builtin_cpu_supports("avx"))
        clear_vectors();
    __asm__ volatile("xor %%eax, %%eax\n xor %%ecx, %%ecx\n xor %%edx, %%edx\n xor %%esi, %%esi\n"
                     "xor %%edi, %%edi\n xor %%r8d, %%r8d\n xor %%r9d, %%r9d\n xor %%r10d, %%r10d\n"
                     "xor %%r11d, %%r11d\n" ::
                         : "memory", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11",
                           "rbx", "r12", "r13", "r14", "r15");
}

#endif
