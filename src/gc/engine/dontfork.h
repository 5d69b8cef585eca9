/* Memory of the program that is in no copy of it (MADV_DONTFORK; V8 keeps its heap so).  What only
 * such memory points at would look unreachable in the snapshot child: the process finds out, and
 * the cycle is done another way.
 *
 * The mappings of the copy are compared with what the process had shortly before, and shortly
 * after: a heap may be mapped, and its only pointers put there, between the first list and the
 * copy.  What a program unmaps between the lists, the stacks of threads that end, and what it maps
 * after the copy, is told from memory that is kept out of copies by smaps. */
#ifndef GC_ENGINE_DONTFORK_H
#define GC_ENGINE_DONTFORK_H

#include <stdbool.h>
#include <stdint.h>

/* On the tracer thread, before the stop: lists what may hold pointers. */
void dontfork_before(void);
/* In the child: lists what it has, for the process to read. */
void dontfork_copied(void);
/* On the tracer thread, after the stop. */
void dontfork_after(void);
/* On the tracer thread, when the child is done: whether there was memory that the copy lacks, and
 * is there still, kept out of copies.  Reads smaps, but only if something is missing. */
bool dontfork_any(void);
/* In a forked copy that goes on by itself: the lists are the parent's. */
void dontfork_postfork_child(void);

#endif
