/* Calls of libc that map memory, exported under their own names: mmap, mmap64, munmap, mremap,
 * sbrk, and pthread_create, inside which libc maps the thread's stack.
 *
 * Until mmap_record, and for ever with mmapprofile=0 and in a process that is not watched,
 * each is a jump to whoever has the name next.  From then on it calls that, and what came of it is
 * recorded (prof/mapping.h).  They work before the library is initialised, in a signal handler and
 * in a child of vfork, which maps in its parent's memory. */
#ifndef MALLOC_MMAP_H
#define MALLOC_MMAP_H

/* Finds whom to pass on to.  At load, before threads. */
void mmap_init(void);
/* From now on all is recorded.  After mmap_init, when stacks can be taken. */
void mmap_record(void);

#endif
