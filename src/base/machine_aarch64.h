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
#define OS_ADDRESS_BITS_MOST 48
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

/* Without the signature that pointer authentication puts into it: xpaclri, which does nothing where
 * there is none. */
static ALWAYS_INLINE uintptr_t machine_code_address(uintptr_t address)
{
    register uintptr_t x30 __asm__("x30") = address;
    __asm__("hint #7" : "+r"(x30));
    return x30;
}

#endif
