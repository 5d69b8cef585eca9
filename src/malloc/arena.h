/* Arenas apart from those of the program's threads.
 *
 * One for our own threads: what they allocate (symbolizing a profile, encoding it) stays out of the
 * program's heap.  One for sampled blocks: jemalloc gives each 20 KiB of address space, of which
 * the program touches what it asked for; between the slabs of the program's own arenas such pieces
 * break up ranges that are used again and again (measured: 4 to 9 MB on a Lua program of 33), and
 * would themselves be memory that was touched before. */
#ifndef MALLOC_ARENA_H
#define MALLOC_ARENA_H

#include <stdint.h>

/* Moves the calling thread to it.  Where jemalloc refuses an arena it stays where it is. */
void arena_use_own(void);
/* Its index; 0: there is none yet. */
unsigned arena_own_index(void);
/* The thread pointer of the one that was moved last; 0: none was. */
uintptr_t arena_own_thread(void);
/* That thread ends, or is not in a forked copy. */
void arena_forget_thread(void);

struct jemalloc_arena;
/* The arena of the sampled blocks of the plain variant, made at the first call; NULL: jemalloc
 * refuses one, or another thread is making it, which is not waited for.  Safe inside an allocation.
 */
struct jemalloc_arena *arena_of_samples(void);

enum arena_use { ARENA_OF_PROGRAM, ARENA_OF_OURS, ARENA_OF_SAMPLES };
enum arena_use arena_used_for(unsigned index);

#endif
