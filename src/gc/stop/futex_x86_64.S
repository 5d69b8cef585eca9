/* long restart_futex_wait(uint32_t *word, uint32_t value, const struct timespec *timeout): the number
 * stands right in front of the call. */
        .text
        .globl restart_futex_wait
        .hidden restart_futex_wait
        .type restart_futex_wait, @function
restart_futex_wait:
        .cfi_startproc
        movq %rdx, %r10
        movl %esi, %edx
        xorl %esi, %esi
        movl $202, %eax
        syscall
        ret
        .cfi_endproc
        .size restart_futex_wait, . - restart_futex_wait

        .section .note.GNU-stack, "", @progbits
