/* What is exported and must leave no frame, change no argument and no register that a call keeps: it
 * jumps on.  A sibling must have:
 *
 *   NAME of entry_points.def  jumps to what slot_NAME holds.  Slots, here, begin at a stub that calls
 *                             memdebug_boot, with all arguments of an integer kind kept, and goes on
 *                             through the slot again (entry.c).  ENTRY_OWN_PAGE: only where those are
 *                             not copied from jemalloc (copy_entries_x86_64.py)
 *   dlopen                    clears the bits that dlopen_flags has not, in the second argument, and
 *                             jumps to dlopen_next, which begins, here, at a stub that calls
 *                             dlopen_resolve first (dlopen.c)
 *   dlmopen                   the same with the third argument and dlmopen_next, where the first is 0
 *   dup2, dup3                jump to what slot_NAME holds
 *   mmap, mmap64, munmap, mremap, sbrk, pthread_create
 *                             jump to what slot_NAME holds (mapped.c)
 *   noting_dup2, noting_dup3  where the second argument is 2, call note_descriptor_2 with the first;
 *                             all go on to what next_NAME holds (passed.c)
 *   program                   no code: where references to libc's malloc, free, realloc and aligned_alloc
 *                             are led, by the versions that programs of this machine ask for (foreign.c)
 *
 * Each instruction has unwind information: a sample, or a signal handler that throws, may be at any. */

/* ---- the malloc family ---- */

#define ENTRY(name, plain, tracked)                                                                \
        .text;                                                                                     \
        .globl name;                                                                               \
        .type name, @function;                                                                     \
        .p2align 4;                                                                                \
name:   .cfi_startproc;                                                                            \
        jmp *slot_##name(%rip);                                                                    \
        .size name, . - name;                                                                      \
boot_##name:                                                                                       \
        call boot_keeping_arguments;                                                               \
        jmp *slot_##name(%rip);                                                                    \
        .cfi_endproc;                                                                              \
        .data;                                                                                     \
        .hidden slot_##name;                                                                       \
        .globl slot_##name;                                                                        \
        .p2align 3;                                                                                \
slot_##name:                                                                                       \
        .quad boot_##name
#ifdef COPIED_ENTRIES
#define ENTRY_OWN_PAGE(name, plain, tracked)
#else
#define ENTRY_OWN_PAGE ENTRY
#endif
#define ENTRY_SECOND ENTRY
#define ENTRY_OPERATOR(name, plain, tracked, foreign) ENTRY(name, plain, tracked)
#include "malloc/entry_points.def"

#define SAVE(name) push %name; .cfi_adjust_cfa_offset 8
#define RESTORE(name) pop %name; .cfi_adjust_cfa_offset -8

/* On entry the stack is 16-byte aligned: two return addresses lie on it. */
        .text
        .p2align 4
boot_keeping_arguments:
        .cfi_startproc
        SAVE(rdi)
        SAVE(rsi)
        SAVE(rdx)
        SAVE(rcx)
        SAVE(r8)
        SAVE(r9)
        call memdebug_boot
        RESTORE(r9)
        RESTORE(r8)
        RESTORE(rcx)
        RESTORE(rdx)
        RESTORE(rsi)
        RESTORE(rdi)
        ret
        .cfi_endproc

/* ---- dlopen, dlmopen ---- */

/* `unless` leads past what clears the flags.  On entry the stack is 8 bytes off. */
#define OPENER(name, flags, unless)                                                                \
        .text;                                                                                     \
        .globl name;                                                                               \
        .type name, @function;                                                                     \
        .p2align 4;                                                                                \
name:   .cfi_startproc;                                                                            \
again_##name:                                                                                      \
        mov name##_next(%rip), %rax; /* first: where it is libc's, the flags are chosen */         \
        unless;                                                                                    \
        and dlopen_flags(%rip), %flags;                                                            \
1:      jmp *%rax;                                                                                 \
        .cfi_endproc;                                                                              \
        .size name, . - name;                                                                      \
        .type first_##name, @function;                                                             \
first_##name:                                                                                      \
        .cfi_startproc;                                                                            \
        SAVE(rdi);                                                                                 \
        SAVE(rsi);                                                                                 \
        SAVE(rdx);                                                                                 \
        call dlopen_resolve;                                                                       \
        RESTORE(rdx);                                                                              \
        RESTORE(rsi);                                                                              \
        RESTORE(rdi);                                                                              \
        jmp again_##name;                                                                          \
        .cfi_endproc;                                                                              \
        .size first_##name, . - first_##name;                                                      \
        .data;                                                                                     \
        .p2align 3;                                                                                \
        .globl name##_next;                                                                        \
        .hidden name##_next;                                                                       \
name##_next:                                                                                       \
        .quad first_##name
#define IN_ANY_NAMESPACE
#define IN_ANOTHER_NAMESPACE test %rdi, %rdi; jne 1f /* LM_ID_BASE is 0 */
OPENER(dlopen, esi, IN_ANY_NAMESPACE)
OPENER(dlmopen, edx, IN_ANOTHER_NAMESPACE)

/* ---- jumps alone ---- */

/* To what slot_NAME holds. */
#define JUMPER(name)                                                                               \
        .text;                                                                                     \
        .globl name;                                                                               \
        .type name, @function;                                                                     \
        .p2align 4;                                                                                \
name:   .cfi_startproc;                                                                            \
        jmp *slot_##name(%rip);                                                                    \
        .cfi_endproc;                                                                              \
        .size name, . - name

/* ---- dup2, dup3 ---- */

/* The third argument is dup3's. */
#define PASSED(name)                                                                               \
        JUMPER(name);                                                                              \
        .hidden noting_##name;                                                                     \
        .globl noting_##name;                                                                      \
        .type noting_##name, @function;                                                            \
noting_##name:                                                                                     \
        .cfi_startproc;                                                                            \
        cmpl $2, %esi;                                                                             \
        jne 1f;                                                                                    \
        SAVE(rdi);                                                                                 \
        SAVE(rsi);                                                                                 \
        SAVE(rdx);                                                                                 \
        call note_descriptor_2;                                                                    \
        RESTORE(rdx);                                                                              \
        RESTORE(rsi);                                                                              \
        RESTORE(rdi);                                                                              \
1:      jmp *next_##name(%rip);                                                                    \
        .cfi_endproc;                                                                              \
        .size noting_##name, . - noting_##name
PASSED(dup2)
PASSED(dup3)

/* ---- what maps ---- */

JUMPER(mmap)
JUMPER(mmap64)
JUMPER(munmap)
JUMPER(mremap)
JUMPER(sbrk)
JUMPER(pthread_create)

/* ---- the program's malloc ---- */

        .symver program_malloc, malloc@GLIBC_2.2.5
        .symver program_free, free@GLIBC_2.2.5
        .symver program_realloc, realloc@GLIBC_2.2.5
        .symver program_aligned_alloc, aligned_alloc@GLIBC_2.16
        .section .data.rel.ro, "aw", @progbits
        .p2align 3
        .globl program
        .hidden program
        .type program, @object
        .size program, 32
program:
        .quad program_malloc
        .quad program_free
        .quad program_realloc
        .quad program_aligned_alloc

        .section .note.GNU-stack, "", @progbits
