/* What a signal handler sees of the code that it has interrupted.  Each machine's own:
 *
 *   frame_pc(context)       where it was
 *   frame_sp(context)       its stack pointer
 *   FRAME_RED_ZONE          bytes below that, which it may be using
 *   frame_thread_pointer()  of the running thread, by which libc finds its thread-locals; 0: it has
 *                           none (a thread that the program made past libc)
 *   frame_learn(layout)     where the kernel puts registers that not every processor has; once
 *   frame_each_register(context, layout, fn, ctx)
 *                           calls fn(ctx, start, end) for memory that has registers which may
 *                           hold an address, and nothing else: the kernel leaves gaps, with what
 *                           was there before
 *
 * Async-signal-safe, but for frame_each_register: the context may be gone, so it is for code that
 * may use fault_load (fault.h). */
#ifndef GC_SYS_FRAME_H
#define GC_SYS_FRAME_H

#if defined(__x86_64__)
#include "gc/sys/frame_x86_64.h"
#elif defined(__aarch64__)
#include "gc/sys/frame_aarch64.h"
#endif

#endif
