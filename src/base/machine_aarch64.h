/* machine.h for aarch64: pages are of 4, 16 or 64 KiB, and addresses have 39 bits or more, as the
 * kernel was built. */
#ifndef BASE_MACHINE_AARCH64_H
#define BASE_MACHINE_AARCH64_H

#include "base/compiler.h"

#include <elf.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/auxv.h>

#define OS_PAGE ((size_t)getauxval(AT_PAGESZ))
#define OS_ADDRESS_BITS_MAX 48
/* What the kernel has given the program at exec lies at the upper end of what it gives. */
#define OS_ADDRESS_BITS (64 - __builtin_clzll(getauxval(AT_RANDOM)))
#define MACHINE_NAME "arm64"
#define MACHINE_ELF EM_AARCH64
#define MACHINE_GLIBC "GLIBC_2.17"
#define MACHINE_SLOT(type) ((type) == R_AARCH64_JUMP_SLOT || (type) == R_AARCH64_GLOB_DAT)

static ALWAYS_INLINE void cpu_relax(void)
{
    __asm__ volatile("isb" ::: "memory"); /* `yield` does nothing on most */
}

static ALWAYS_INLINE void cpu_clear_vectors(void)
{
    __asm__ volatile("movi v0.2d, #0\n movi v1.2d, #0\n movi v2.2d, #0\n movi v3.2d, #0\n"
                     "movi v4.2d, #0\n movi v5.2d, #0\n movi v6.2d, #0\n movi v7.2d, #0\n"
                     "movi v16.2d, #0\n movi v17.2d, #0\n movi v18.2d, #0\n movi v19.2d, #0\n"
                     "movi v20.2d, #0\n movi v21.2d, #0\n movi v22.2d, #0\n movi v23.2d, #0\n"
                     "movi v24.2d, #0\n movi v25.2d, #0\n movi v26.2d, #0\n movi v27.2d, #0\n"
                     "movi v28.2d, #0\n movi v29.2d, #0\n movi v30.2d, #0\n movi v31.2d, #0\n" ::
                         : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17", "v18",
                           "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28",
                           "v29", "v30", "v31");
}

/* Here the thread-local variables lie between the two, of a size that libc does not tell: 0. */
static ALWAYS_INLINE uintptr_t cpu_stack_limit(uintptr_t thread)
{
    (void)thread;
    return 0;
}

/* Without the signature that pointer authentication puts into it: xpaclri, which does nothing where
 * there is none. */
static ALWAYS_INLINE uintptr_t machine_code_address(uintptr_t address)
{
    register uintptr_t x30 __asm__("x30") = address;
    __asm__("hint #7" : "+r"(x30));
    return x30;
}

#endif
