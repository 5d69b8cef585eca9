/* Memory that only a program's start needs, given back once it is over.
 *
 * Beside the program's own, our library brings code that runs once (options, settings, the segment)
 * and, where the program is linked to another allocator, that one's, initialised and never called
 * again; and the first stacks, taken in the constructors of its libraries, have touched their
 * tables for unwinding.  These are pages of files: dropping them loses nothing, and what is used
 * again costs one minor fault for each 64 KiB.  Measured on redis-server: 1.3 MB of resident
 * memory. */
#ifndef MALLOC_STARTUP_H
#define MALLOC_STARTUP_H

#include <stdint.h>

/* In a constructor: finds the allocator that ours stands in front of. */
void startup_load(void);
/* Now and then, with the bytes the program has allocated so far.  Safe inside an allocation. */
void startup_publish(uint64_t allocated_bytes);

#endif
