/* Symbolizers that are kept from one profile of a process to the next: reading a big program's
 * DWARF takes seconds, what was read once takes none.  A few are kept, each at most a minute after
 * its last use; that of a process with code made at run time is not, as names of that may change.
 *
 * Any thread.  A symbolizer is used by one thread at a time: who wants that of the same process
 * waits, and of all processes together only as many look names up at a time as there are CPUs, at
 * least two, so that no process's profile keeps all others waiting. */
#ifndef MEMTOP_SYMBOLS_H
#define MEMTOP_SYMBOLS_H

#include "target/source.h"

struct symbols;
struct symbols_use;

struct symbols *symbols_create(void);          /* NULL: no memory */
void symbols_destroy(struct symbols *symbols); /* accepts NULL; when nobody uses it */

/* The symbolizer of the source's process, for the caller alone until symbols_release.  NULL: no
 * memory. */
struct symbols_use *symbols_acquire(struct symbols *symbols, const struct source *source);
struct symbolizer *symbols_of(const struct symbols_use *use);
void symbols_release(struct symbols *symbols, struct symbols_use *use);

#endif
