/* unwinder.h for aarch64. */
#ifndef STACK_UNWINDER_AARCH64_H
#define STACK_UNWINDER_AARCH64_H

#define unwinder_here(context) unw_tdep_getcontext(context) /* inline, as libunwind.h has it */
#define UNWINDER_HERE
#define UNWINDER_SAME false /* those of unw_backtrace are one less */
#define UNWINDER_FRAME_POINTER UNW_AARCH64_X29

#endif
