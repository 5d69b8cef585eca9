/* A frozen copy of the process to mark in: a child made by clone while all threads are parked,
 * which shares nothing writable with the program but one page for its result.
 *
 * The program does not notice it: no exit signal, no descriptor, no signal handler run twice, first
 * to go when memory is short, gone when the program ends or execs (after an exec a zombie stays
 * until the new image ends).  A program that reaps every child with __WALL may reap it: the result
 * is in the page before.
 */
#ifndef GC_ENGINE_CLONE_H
#define GC_ENGINE_CLONE_H

#include "gc/engine/engine.h"

extern const struct engine engine_clone;

#endif
