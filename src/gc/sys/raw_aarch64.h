/* raw.h for aarch64. */
#ifndef GC_SYS_RAW_AARCH64_H
#define GC_SYS_RAW_AARCH64_H

#include "base/compiler.h"

static ALWAYS_INLINE long raw6(long number, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
}

/* The vDSO has it, by which unwinders know a signal frame too. */
#define RAW_RESTORER 0ul
#define raw_restorer ((void (*)(void))0)

#endif
