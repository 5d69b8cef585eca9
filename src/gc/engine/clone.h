/* A frozen copy of the process to mark in: a child made by clone while all threads are parked,
 * which shares nothing writable with the program but one page for its result.
 *
 * The program does not notice it: no exit signal, no descriptor, no signal handler run twice, first
 * to go when memory is short, gone when the program ends or execs (after an exec a zombie stays
 * until the new image ends).  A program that reaps every child with __WALL may reap it: the result
 * is in the page before.
 *
 * Called by the tracer thread only. */
#ifndef GC_ENGINE_CLONE_H
#define GC_ENGINE_CLONE_H

#include "gc/engine/trace.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Maps the page.  Before the stop; NULL, or why not. */
const char *clone_prepare(void);
/* Before the stop: how long the clone may take, by the pages that there are and what it has cost so
 * far. */
int64_t clone_most_ns(void);
/* With the world stopped.  NULL: the child is on its way.  `block_size` as heap_index_build's. */
const char *clone_take(size_t (*block_size)(const void *block));
/* Waits for the child, at most `limit_ns`.  NULL: done, result in *result.  Meanwhile asks `watch`,
 * if it is not NULL, every 20 ms: with a reason the child is ended. */
const char *clone_wait(struct trace_result *result, int64_t limit_ns, const char *(*watch)(void));
/* A mark under way no longer yields to the program, which waits for it.  On any thread. */
void clone_hurry(void);
/* Ends a child whose snapshot is not wanted, if there is one, and forgets what it has said. */
void clone_cancel(void);
/* In a forked copy: the page belongs to the parent. */
void clone_renew(void);

#endif
