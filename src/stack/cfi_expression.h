/* Expressions of DWARF, as the tables for unwinding have them where no register and offset will do:
 * in the frame of a signal, in calls that the loader has not bound yet, where a function aligns its
 * stack. */
#ifndef STACK_CFI_EXPRESSION_H
#define STACK_CFI_EXPRESSION_H

#include "stack/cfi.h"

/* Works out the expression at `at`, its length in front, from the registers of `frame`, and from
 * `*frame_address` unless that is NULL.  False: it makes no sense, or needs what is not known.
 * Async-signal-safe; it comes to an end. */
bool cfi_evaluate(const struct cfi_frame *frame, cfi_read *read, uintptr_t at,
                  const uint64_t *frame_address, uint64_t *value);

#endif
