/* Takes the calling thread's stack, fast and without the heap: libunwind, with its cache of frames
 * (165-600 ns) on threads that sample often and without it (some 20 us) on others, or frame
 * pointers (some 6 us, nearly all of it to get out of our own frames, which have none) where the
 * user says that they are kept.  Nothing here asks the loader.
 *
 * Never call it holding a lock: libunwind has one of its own, which a thread that forks waits for
 * others to leave (src/prof). */
#ifndef STACK_UNWIND_H
#define STACK_UNWIND_H

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stdint.h>

/* Once, at load, with all signals blocked: initialises the unwinder, for which it asks the loader,
 * and learns our own text range.  Until then stacks are unknown. */
void unwind_init(void);
/* Entries that the caller must have room for: a stack, and our own frames in front of it. */
#define UNWIND_OWN_FRAMES 16
#define UNWIND_ROOM (MD_STACK_MAX_DEPTH + UNWIND_OWN_FRAMES)
/* Return addresses, innermost first, without those inside this library; at most `most` of them
 * (and MD_STACK_MAX_DEPTH), in `pcs`, which has room for `most` + UNWIND_OWN_FRAMES.  `truncated`:
 * there were more.  0: it could not be unwound.
 *
 * Where code has no unwind information, libunwind takes the frame pointer for one, and what comes
 * then may be anything that lies on the stack: an address in a library that is just being unmapped,
 * too, whose tables would be read.  `certain`: the stack ends there, so that each address in it
 * keeps its library loaded. */
unsigned unwind_stack(uint64_t *pcs, unsigned most, bool certain, bool *truncated);
/* Where this library's code lies. */
extern uintptr_t own_text_start, own_text_end;

#endif
