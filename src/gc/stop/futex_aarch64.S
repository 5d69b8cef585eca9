/* long restart_futex_wait(uint32_t *word, uint32_t value, const struct timespec *timeout) */
        .text
        .globl restart_futex_wait
        .hidden restart_futex_wait
        .type restart_futex_wait, %function
restart_futex_wait:
        .cfi_startproc
        mov x3, x2
        mov w2, w1
        mov x1, #0
        mov x8, #98
        svc #0
        ret
        .cfi_endproc
        .size restart_futex_wait, . - restart_futex_wait

        .section .note.GNU-stack, "", %progbits
