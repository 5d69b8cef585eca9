/* A frozen copy of the process to mark in: a child made by clone while all threads are parked,
 * which shares nothing writable with the program but one page for its result.
 *
 * The program does not notice it: no exit signal, no descriptor, no signal handler run twice, first
 * to go when memory is short, gone when the program ends or execs (after an exec a zombie stays
 * until the new image ends).  A program that reaps every child with __WALL may reap it: the result
 * is in the page before.
 *
 * Called by the tracer thread only. */
#ifndef GC_CLONE_SNAPSHOT_H
#define GC_CLONE_SNAPSHOT_H

#include "gc/trace.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Maps the page.  Before the stop; NULL, or why not. */
const char *snapshot_prepare(void);
/* Before the stop: how long the clone may take, by the pages that there are and what it has cost so
 * far. */
int64_t snapshot_most_ns(void);
/* With the world stopped.  NULL: the child is on its way.  `block_size` as heap_index_build's. */
const char *snapshot_clone(size_t (*block_size)(const void *block));
/* Waits for the child, at most `limit_ns`.  NULL: done, result in *result.  Meanwhile asks `watch`,
 * if it is not NULL, every 20 ms: with a reason the child is ended. */
const char *snapshot_wait(struct snapshot_result *result, int64_t limit_ns,
                          const char *(*watch)(void));
/* A mark under way no longer yields to the program, which waits for it.  On any thread. */
void snapshot_hurry(void);
/* Ends a child whose snapshot is not wanted, if there is one, and forgets what it has said. */
void snapshot_cancel(void);
/* In a forked copy: the page belongs to the parent. */
void snapshot_renew(void);

#endif
