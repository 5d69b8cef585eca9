/* machine.h for x86-64. */
#ifndef BASE_MACHINE_X86_64_H
#define BASE_MACHINE_X86_64_H

#include "base/compiler.h"

#include <elf.h>
#include <stdint.h>

#define OS_PAGE 4096u
#define OS_ADDRESS_BITS 47
#define OS_ADDRESS_BITS_MOST 47
#define MACHINE_NAME "x86-64"
#define MACHINE_ELF EM_X86_64
#define MACHINE_GLIBC "GLIBC_2.2.5"
#define MACHINE_SLOT(type) ((type) == R_X86_64_JUMP_SLOT || (type) == R_X86_64_GLOB_DAT)

static ALWAYS_INLINE void cpu_relax(void)
{
    __builtin_ia32_pause();
}

static ALWAYS_INLINE uintptr_t machine_code_address(uintptr_t address)
{
    return address;
}

#endif
