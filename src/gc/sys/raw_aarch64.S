/* raw_x86_64.S for aarch64, where the kernel has a place of its own for handlers to return to. */
        .text
        .globl gc_task_clone
        .hidden gc_task_clone
        .type gc_task_clone, %function
gc_task_clone:
        .cfi_startproc
        mov x8, #220
        mov x2, #0
        mov x3, #0
        mov x4, #0
        svc #0
        cbz x0, 1f
        ret
1:      .cfi_undefined x30
        mov x29, #0
        mov x1, sp /* which may not be used for a load before it is a multiple of 16 */
        ldr x0, [x1], #8
        mov sp, x1
        bl task_main
        brk #0
        .cfi_endproc
        .size gc_task_clone, . - gc_task_clone

        .section .note.GNU-stack, "", %progbits
