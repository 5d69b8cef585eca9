/* What of system calls is no C function.  A sibling must have:
 *
 *   raw_restorer   where a signal handler returns to, if the kernel has no place of its own (raw.h)
 *   gc_task_clone  task.h's clone
 */
        .text

/* rt_sigreturn.  Unwinders know a signal frame by these bytes, if the byte before belongs to no
 * function with unwind information: hence the nop. */
        .globl raw_restorer
        .hidden raw_restorer
        .type raw_restorer, @function
        nop
raw_restorer:
        movq $15, %rax
        syscall
        .size raw_restorer, . - raw_restorer

/* long gc_task_clone(unsigned long flags, void *stack): the word at the top of the new stack is the
 * task, with which task_main begins there; it is the outermost frame. */
        .globl gc_task_clone
        .hidden gc_task_clone
        .type gc_task_clone, @function
gc_task_clone:
        .cfi_startproc
        movl $56, %eax
        xorl %edx, %edx
        xorl %r10d, %r10d
        xorl %r8d, %r8d
        syscall
        testq %rax, %rax
        jz 1f
        ret
1:      .cfi_undefined rip
        xorl %ebp, %ebp
        popq %rdi
        call task_main
        ud2
        .cfi_endproc
        .size gc_task_clone, . - gc_task_clone

        .section .note.GNU-stack, "", @progbits
