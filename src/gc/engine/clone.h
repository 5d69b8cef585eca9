/* A frozen copy of the process to mark in: a child made by clone while all threads are parked.  It
 * writes nothing that the program shares but memory of ours: a page for its result, what it says of
 * samples and of the unreached (unreached.c), and its list of mappings (dontfork.c).
 *
 * The program does not notice it.  It sends no signal at its end, holds no descriptor of the
 * program's, and runs no signal handler of it a second time; it is the first to go when memory is
 * short, and ends when the program ends or execs (after an exec a zombie stays until the new image
 * ends).  A program that reaps every child with __WALL may reap it: by then the result is in its
 * page. */
#ifndef GC_ENGINE_CLONE_H
#define GC_ENGINE_CLONE_H

#include "gc/engine/engine.h"

extern const struct engine engine_clone;

#endif
