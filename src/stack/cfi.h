/* Steps from one frame of a stack to the one that called it, by the tables that code brings along
 * (DWARF call frame information, .eh_frame).
 *
 * libunwind does that for the calling thread (unwind.h), with locks and memory of its own.  This is
 * for the stack of another thread, in a copy of the process, where any lock may be held for ever:
 * it takes none, keeps nothing, and reads each byte, of the stack and of the tables, by a function
 * of the caller's, which says whether it can be read.  Whatever the tables say it comes to an end.
 *
 * Async-signal-safe. */
#ifndef STACK_CFI_H
#define STACK_CFI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

/* Each machine's own:
 *
 *   CFI_REGISTERS        numbers of general registers in its tables, from 0 on
 *   CFI_SP, CFI_FP       the stack pointer's, and that of the frame pointer, where one is kept
 *   CFI_PUSHES           whether a call puts the address to return to on the stack
 *   CFI_OF_CONTEXT, CFI_CONTEXT_REGISTER, CFI_CONTEXT_PC
 *                        where a signal handler's context has each of them (cfi_of_context)
 */
#if defined(__x86_64__)
#include "stack/cfi_x86_64.h"
#elif defined(__aarch64__)
#include "stack/cfi_aarch64.h"
#endif

struct cfi_frame {
    uintptr_t pc;
    bool is_return; /* a call returns there: the code that is at work is the one before */
    uint64_t known; /* bit n: value[n] is what register n has in this frame */
    uint64_t value[CFI_REGISTERS];
};

/* The frame of the code that a signal handler, which was given `context`, has interrupted. */
void cfi_of_context(struct cfi_frame *frame, const ucontext_t *context);

/* Copies `size` bytes from `at`; false: they cannot be read. */
typedef bool cfi_read(uintptr_t at, void *to, size_t size);

enum cfi_step {
    CFI_STEPPED,
    CFI_OUTERMOST,   /* nobody has called that frame */
    CFI_UNDESCRIBED, /* the tables say nothing of its code */
    CFI_BAD          /* they make no sense, or need what is not known or cannot be read */
};

/* The frame's caller in its place.  `tables`: the address of .eh_frame_hdr of the object that holds
 * its pc.  Nothing is changed unless it has stepped; then the stack pointer is above what it was,
 * but behind the frame of a signal. */
enum cfi_step cfi_step(struct cfi_frame *frame, uintptr_t tables, cfi_read *read);
/* The same by frame pointers, for code without tables: there may be none, so what comes may be
 * anything. */
bool cfi_step_by_pointer(struct cfi_frame *frame, cfi_read *read);

#endif
