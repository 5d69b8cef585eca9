/* Memory that only a program's start needs, given back once it is over.
 *
 * Beside the program's own, our library brings code that runs once (options, settings, the segment)
 * and, where the program is linked to another allocator, that one's, initialised and never called
 * again; and the first stacks, taken in the constructors of its libraries, have touched their
 * tables for unwinding.  These are pages of files: dropping one loses nothing as long as nobody has
 * written to it (a debugger, a uprobe, somebody who moves code to large pages), which is looked at
 * page by page just before.  What is used again costs a minor fault for each 64 KiB.  Measured on
 * redis-server: 1.2 MB of resident memory. */
#ifndef MALLOC_STARTUP_H
#define MALLOC_STARTUP_H

#include <stdint.h>

/* In our constructor: finds the allocator that ours stands in front of.  Before, nothing is given
 * back. */
void startup_load(void);
/* Now and then, with the bytes the program has allocated so far.  Safe inside an allocation. */
void startup_publish(uint64_t allocated_bytes);
/* In a forked copy, which has little of it: never again. */
void startup_postfork_child(void);

#endif
