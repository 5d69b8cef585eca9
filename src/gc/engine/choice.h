/* Which way the heap is looked at: the one from which the shortest pause is to be expected, by what
 * this process has seen of each so far.
 *
 * Clone (clone.h): its pause grows with the pages of the process, and is short for small ones.
 * Write tracking (wp.h): its pause hardly grows, but there is more to do, and it needs Linux 6.7
 * and the permission to use userfaultfd.  Stop (stopped.h): where neither can be had.
 *
 * What counts is the process's own resident memory, heap or not: a clone copies the page tables of
 * all of it, and all of it is looked at for roots.  A JVM has a small heap and is no small process.
 *
 * Arithmetic only; on the tracer thread. */
#ifndef GC_ENGINE_CHOICE_H
#define GC_ENGINE_CHOICE_H

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stdint.h>

/* Below this the clone, unless it has failed lately: all its cost is less than tracking's. */
#define ENGINE_MIN_TRACKED (UINT64_C(64) << 20)

/* The only one that may be taken; MD_ENGINE_NONE: each may.  `forced`: it has been asked for. Where
 * the program locks its memory (mlockall), tables that are mapped beside it would be locked and
 * filled too; a copy's are not. */
enum md_engine engine_only(enum md_engine forced, bool memory_locked);
/* The one to begin a cycle with.  At exit nobody feels the pause, so a copy is begun with. */
enum md_engine engine_choose(enum md_engine only, bool at_exit, uint64_t private_bytes);
/* The next one to try in this cycle when `failed` could not do it; MD_ENGINE_NONE: none is left, or
 * the cycle had better be tried again: write tracking has only been too slow this time (it is
 * `available`), and another engine's pause would be long. */
enum md_engine engine_after(enum md_engine only, enum md_engine first, enum md_engine failed,
                            uint64_t private_bytes, bool available);
/* Where a clone's pause would be longer than this, write tracking is tried again instead, for up to
 * so many failures in a row. */
#define ENGINE_LONG_PAUSE_NS UINT64_C(20000000)
#define ENGINE_PATIENCE 4
/* What a cycle has shown. */
void engine_note(enum md_engine engine, uint64_t private_bytes, uint64_t pause_ns);
/* It could not be done that way: left alone for the next cycles, for more each time. */
void engine_note_failure(enum md_engine engine);
/* In a forked copy: it has seen nothing yet. */
void engine_postfork_child(void);

#endif
