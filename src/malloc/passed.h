/* Calls of libc that the library sees: exported under their own names, and passed on to whoever has
 * them next by a jump, never by a call.  So libc finds the program's return address and stack as if
 * it had been called by the program itself, and nothing of ours stands in a backtrace.
 *
 *   dup2, dup3   which object is put on descriptor 2 (base/message.h)
 *
 * (dlopen is another, passed on from its first call: dlopen.c.)
 *
 * While MEMDEBUG is unset the jump is all there is.  They work before the library is initialised,
 * in a signal handler and in a child of vfork. */
#ifndef MALLOC_PASSED_H
#define MALLOC_PASSED_H

/* From now on dup2 and dup3 onto descriptor 2 are noted: one fstat more, and a getpid. */
void passed_note(void);
/* Finds whom to pass on to.  At load, before threads. */
void passed_init(void);

#endif
