/* unwinder.h for x86-64. */
#ifndef STACK_UNWINDER_X86_64_H
#define STACK_UNWINDER_X86_64_H

#define unwinder_here(context) unwinder.getcontext(context)
#define UNWINDER_HERE {&unwinder.getcontext, TEXT_OF(unw_tdep_getcontext)},
#define UNWINDER_SAME true
#define UNWINDER_FRAME_POINTER UNW_X86_64_RBP

#endif
