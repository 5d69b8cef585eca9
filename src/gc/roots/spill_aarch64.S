/* spill_x86_64.S for aarch64. */
        .text
        .globl gc_spill
        .hidden gc_spill
        .type gc_spill, %function
gc_spill:
        .cfi_startproc
        stp x29, x30, [sp, #-160]!
        .cfi_adjust_cfa_offset 160
        .cfi_offset x29, -160
        .cfi_offset x30, -152
        mov x29, sp
        stp x19, x20, [sp, #16]
        stp x21, x22, [sp, #32]
        stp x23, x24, [sp, #48]
        stp x25, x26, [sp, #64]
        stp x27, x28, [sp, #80]
        stp d8, d9, [sp, #96]
        stp d10, d11, [sp, #112]
        stp d12, d13, [sp, #128]
        stp d14, d15, [sp, #144]
        mov x1, x0
        mov x0, sp
        blr x1
        ldp x29, x30, [sp], #160 /* whoever was called has kept the others */
        .cfi_restore x29
        .cfi_restore x30
        .cfi_adjust_cfa_offset -160
        ret
        .cfi_endproc
        .size gc_spill, . - gc_spill

        .section .note.GNU-stack, "", %progbits
