/* Keeps libunwind's hands off descriptors.  Where a stack has no unwind tables, libunwind asks
 * whether an address can be read by writing a byte from there into a pipe of its own.  That pipe
 * would be the program's descriptors 3 and 4; and a daemon that closes all it has, and opens files
 * of its own under the same numbers, would find libunwind's bytes in one and miss bytes of the
 * other.
 *
 * So the calls by which it does that are led to ours, in the table of calls of libunwind alone:
 * there is no pipe, and the question is put to the kernel in another way. */
#ifndef STACK_UNWIND_PROBE_H
#define STACK_UNWIND_PROBE_H

#include <stdbool.h>

/* Before libunwind is first used.  False: it is not of a known shape and keeps its pipe. */
bool unwind_probe_init(void);

#endif
