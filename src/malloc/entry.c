#include "malloc/entry.h"

#include "base/compiler.h"
#include "malloc/jemalloc.h"
#include "malloc/variants.h"

/* Slots begin at a stub that saves the arguments, boots, and goes on through the slot again. */
#define ENTRY(name, plain, tracked)                                                                \
    extern void *slot_##name __attribute__((visibility("hidden")));                                \
    __asm__(".text\n"                                                                              \
            ".globl " #name "\n"                                                                   \
            ".type " #name ", @function\n"                                                         \
            ".p2align 4\n" #name ":\n"                                                             \
            "  jmp *slot_" #name "(%rip)\n"                                                        \
            ".size " #name ", . - " #name "\n"                                                     \
            "boot_" #name ":\n"                                                                    \
            "  call boot_keeping_arguments\n"                                                      \
            "  jmp *slot_" #name "(%rip)\n"                                                        \
            ".data\n"                                                                              \
            ".hidden slot_" #name "\n"                                                             \
            ".globl slot_" #name "\n"                                                              \
            ".p2align 3\n"                                                                         \
            "slot_" #name ": .quad boot_" #name "\n"                                               \
            ".text\n");
#include "malloc/entry_points.def"
#undef ENTRY

/* On entry the stack is 16-byte aligned: two return addresses lie on it. */
__asm__(".text\n"
        ".p2align 4\n"
        "boot_keeping_arguments:\n"
        "  push %rdi\n"
        "  push %rsi\n"
        "  push %rdx\n"
        "  push %rcx\n"
        "  push %r8\n"
        "  push %r9\n"
        "  call memdebug_boot\n"
        "  pop %r9\n"
        "  pop %r8\n"
        "  pop %rcx\n"
        "  pop %rdx\n"
        "  pop %rsi\n"
        "  pop %rdi\n"
        "  ret\n");

void entry_choose(bool tracked)
{
#define ENTRY(name, plain_function, tracked_function)                                              \
    slot_##name = tracked ? (void *)(tracked_function) : (void *)(plain_function);
#include "malloc/entry_points.def"
#undef ENTRY
}
