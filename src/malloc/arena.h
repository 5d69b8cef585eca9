/* The arena of our own threads: what they allocate (symbolizing a profile, encoding it) stays apart
 * from the program's heap. */
#ifndef MALLOC_ARENA_H
#define MALLOC_ARENA_H

/* Moves the calling thread to it.  Where jemalloc refuses an arena it stays where it is. */
void arena_use_own(void);

#endif
