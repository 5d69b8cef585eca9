/* Where a mark begins: every private mapping of the process that is not heap, not ours and not the
 * dead part of a stack.  That takes in registers (the stop handler's frame lies on the thread's
 * stack), stacks, TLS and struct pthread (on top of a thread's stack, or in ld.so's own anonymous
 * memory for the main thread), thread-specific data, the writable segments of every module whoever
 * loaded it, brk memory, and pools and coroutine stacks that the program has mapped.  Memory shared
 * with other processes is not looked at.
 *
 * Where a mark runs in place, beside the program (track.h), roots are looked at twice: early, while
 * the program runs, so that most of what they lead to is marked by then; and in the stop, where
 * what has been tracked since is looked at only as far as it has been written to.
 *
 * In the snapshot child, or in the task that marks, where nothing else is said; by one of them at a
 * time. */
#ifndef GC_ROOTS_ROOTS_H
#define GC_ROOTS_ROOTS_H

#include "gc/mark/mark.h"
#include "heap/extents.h"

#include <stdbool.h>
#include <stdint.h>

struct roots_size {
    uint64_t stack_bytes;   /* looked at, of stacks and TLS */
    uint64_t globals_bytes; /* of everything else */
    uint64_t tracked_bytes; /* part of that, looked at by roots_mark_early and tracked since */
};

/* Ranges in which whoever asks sees all writes, sorted. */
struct roots_tracked {
    const struct extent *ranges;
    unsigned count;
};

/* In the process, before the first cycle: finds the module that this code is in.  Its writable
 * segments hold the allocator's tables and ours and are no roots, unless it is the program itself
 * (then the program's data is in there too). */
void roots_find_self(void);
/* In a forked copy, on its only thread: notes which that is. */
void roots_find_main(void);

/* Marks from all roots.  False: /proc/self/maps cannot be read, or no memory. */
bool roots_mark(struct mark *mark, struct roots_size *size);

/* The stack of one of world.threads. */
struct roots_stack {
    bool left_out;        /* in: it is no root; then, whether it has been left out */
    uintptr_t start, end; /* 0: it has no place of its own, or none that is known */
    uintptr_t from;       /* nothing below is in use */
};
/* As roots_mark, but without the stacks, thread-locals and registers of some threads, as far as
 * they can be told from the rest: `stacks` has an element for each of world.threads.  What leads
 * from elsewhere to what such a thread holds is looked at all the same.  In the snapshot child. */
bool roots_mark_but(struct mark *mark, struct roots_size *size, struct roots_stack *stacks);
/* Then marks from one of those. */
void roots_mark_stack(struct mark *mark, struct roots_stack *stacks, unsigned thread);

/* On the tracer thread, before a stop in which roots_mark or roots_mark_rest will run in place:
 * memory for it. */
bool roots_prepare(void);
/* On the tracer thread: calls `fn` for each range that is no stack, and so worth tracking. */
bool roots_each_lasting(void (*fn)(void *ctx, uintptr_t start, uintptr_t end), void *ctx);
/* While the program runs, with stacks as they were when the world was stopped last: as roots_mark,
 * but for registers. */
bool roots_mark_early(struct mark *mark, struct roots_size *size, struct roots_tracked tracked);
/* Between the two: pages of those ranges that have been written to. */
void roots_mark_again(struct mark *mark, uintptr_t start, uintptr_t end);
/* In the stop: all roots, but of `tracked`, as they were looked at early, only what has been
 * written to since. */
bool roots_mark_rest(struct mark *mark, struct roots_size *size, struct roots_tracked tracked);

#endif
