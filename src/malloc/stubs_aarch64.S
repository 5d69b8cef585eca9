/* stubs_x86_64.S for aarch64.  Arguments lie in x0 to x7, and x16 and x17 are nobody's between a call
 * and the function called. */

/* To where the pointer in `slot` leads. */
#define JUMP_THROUGH(slot) adrp x16, slot; ldr x16, [x16, :lo12:slot]; br x16

/* ---- the malloc family ---- */

#define ENTRY(name, plain, tracked)                                                                \
        .text;                                                                                     \
        .globl name;                                                                               \
        .type name, %function;                                                                     \
        .p2align 4;                                                                                \
name:   .cfi_startproc;                                                                            \
        JUMP_THROUGH(slot_##name);                                                                 \
        .cfi_endproc;                                                                              \
        .size name, . - name;                                                                      \
boot_##name:                                                                                       \
        .cfi_startproc;                                                                            \
        mov x17, x30;                                                                              \
        .cfi_register x30, x17;                                                                    \
        bl boot_keeping_arguments;                                                                 \
        mov x30, x17;                                                                              \
        .cfi_restore x30;                                                                          \
        JUMP_THROUGH(slot_##name);                                                                 \
        .cfi_endproc;                                                                              \
        .data;                                                                                     \
        .hidden slot_##name;                                                                       \
        .globl slot_##name;                                                                        \
        .p2align 3;                                                                                \
slot_##name:                                                                                       \
        .xword boot_##name
#define ENTRY_OWN_PAGE ENTRY
#define ENTRY_SECOND ENTRY
#define ENTRY_OPERATOR(name, plain, tracked, foreign) ENTRY(name, plain, tracked)
#include "malloc/entry_points.def"

/* A frame with the arguments, and x17, which is the caller's return address. */
        .macro SAVE_ARGUMENTS
        stp x29, x30, [sp, #-96]!
        .cfi_def_cfa_offset 96
        .cfi_offset x29, -96
        .cfi_offset x30, -88
        mov x29, sp
        stp x0, x1, [sp, #16]
        stp x2, x3, [sp, #32]
        stp x4, x5, [sp, #48]
        stp x6, x7, [sp, #64]
        stp x8, x17, [sp, #80]
        .endm
        .macro RESTORE_ARGUMENTS
        ldp x8, x17, [sp, #80]
        ldp x6, x7, [sp, #64]
        ldp x4, x5, [sp, #48]
        ldp x2, x3, [sp, #32]
        ldp x0, x1, [sp, #16]
        ldp x29, x30, [sp], #96
        .cfi_restore x29
        .cfi_restore x30
        .cfi_def_cfa_offset 0
        .endm

        .text
        .p2align 4
boot_keeping_arguments:
        .cfi_startproc
        SAVE_ARGUMENTS
        bl memdebug_boot
        RESTORE_ARGUMENTS
        ret
        .cfi_endproc

/* ---- dlopen ---- */

/* Jumps to what `next` holds, with the bits in `flags` that dlopen_flags has not cleared.  Where it is
 * libc's, the flags are chosen: it is read first. */
        .macro DLOPEN_GO next, flags
        adrp x16, \next
        add x16, x16, :lo12:\next
        ldar x16, [x16]
        adrp x17, dlopen_flags
        ldr w17, [x17, :lo12:dlopen_flags]
        and \flags, \flags, w17
        br x16
        .endm

/* The exported one, and the stub that its pointer begins at. */
        .macro DLOPEN name, flags
        .globl \name
        .type \name, %function
        .p2align 4
\name:  .cfi_startproc
        GO_\name
        .cfi_endproc
        .size \name, . - \name

        .type \name\()_first, %function
\name\()_first:
        .cfi_startproc
        SAVE_ARGUMENTS
        bl dlopen_resolve
        RESTORE_ARGUMENTS
        GO_\name
        .cfi_endproc
        .size \name\()_first, . - \name\()_first

        .data
        .p2align 3
        .globl \name\()_next
        .hidden \name\()_next
\name\()_next:
        .xword \name\()_first
        .text
        .endm

        .macro GO_dlopen
        DLOPEN_GO dlopen_next, w1
        .endm
        DLOPEN dlopen
        .macro GO_dlmopen
        cbz x0, 1f
        adrp x16, dlmopen_next
        ldr x16, [x16, :lo12:dlmopen_next]
        br x16
1:      DLOPEN_GO dlmopen_next, w2
        .endm
        DLOPEN dlmopen

/* ---- jumps alone ---- */

/* To what slot_NAME holds. */
#define JUMPER(name)                                                                               \
        .text;                                                                                     \
        .globl name;                                                                               \
        .type name, %function;                                                                     \
        .p2align 4;                                                                                \
name:   .cfi_startproc;                                                                            \
        JUMP_THROUGH(slot_##name);                                                                 \
        .cfi_endproc;                                                                              \
        .size name, . - name

/* ---- dup2, dup3 ---- */

#define PASSED(name)                                                                               \
        JUMPER(name);                                                                              \
        .hidden noting_##name;                                                                     \
        .globl noting_##name;                                                                      \
        .type noting_##name, %function;                                                            \
noting_##name:                                                                                     \
        .cfi_startproc;                                                                            \
        cmp w1, #2;                                                                                \
        b.ne 1f;                                                                                   \
        SAVE_ARGUMENTS;                                                                            \
        bl note_descriptor_2;                                                                      \
        RESTORE_ARGUMENTS;                                                                         \
1:      JUMP_THROUGH(next_##name);                                                                 \
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

        .symver program_malloc, malloc@GLIBC_2.17
        .symver program_free, free@GLIBC_2.17
        .symver program_realloc, realloc@GLIBC_2.17
        .symver program_aligned_alloc, aligned_alloc@GLIBC_2.17
        .section .data.rel.ro, "aw", %progbits
        .p2align 3
        .globl program
        .hidden program
        .type program, %object
        .size program, 32
program:
        .xword program_malloc
        .xword program_free
        .xword program_realloc
        .xword program_aligned_alloc

        .section .note.GNU-stack, "", %progbits
