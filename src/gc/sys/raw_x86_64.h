/* raw.h for x86-64. */
#ifndef GC_SYS_RAW_X86_64_H
#define GC_SYS_RAW_X86_64_H

#include "base/compiler.h"

static ALWAYS_INLINE long raw6(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

#define RAW_RESTORER 0x04000000ul
void raw_restorer(void); /* sys/raw_x86_64.S */

#endif
