/* gc.h's gc_spill(work): `above` is the last of the registers that a call keeps. */
        .text
        .globl gc_spill
        .hidden gc_spill
        .type gc_spill, @function
gc_spill:
        .cfi_startproc
        pushq %rbp
        .cfi_adjust_cfa_offset 8
        pushq %rbx
        .cfi_adjust_cfa_offset 8
        pushq %r12
        .cfi_adjust_cfa_offset 8
        pushq %r13
        .cfi_adjust_cfa_offset 8
        pushq %r14
        .cfi_adjust_cfa_offset 8
        pushq %r15
        .cfi_adjust_cfa_offset 8
        movq %rdi, %rax
        movq %rsp, %rdi
        subq $8, %rsp
        .cfi_adjust_cfa_offset 8
        call *%rax
        addq $56, %rsp /* whoever was called has kept them */
        .cfi_adjust_cfa_offset -56
        ret
        .cfi_endproc
        .size gc_spill, . - gc_spill

        .section .note.GNU-stack, "", @progbits
