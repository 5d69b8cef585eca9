/* A case of the leak-truth suite: a small program that makes a known number of objects, each known
 * to be reachable, a direct leak or an indirect one, and has them looked at.
 *
 * Order of a run: before() does whatever allocates on its own account (threads, dlopen), one cycle
 * gives the base, body() makes the objects, two more cycles follow (a leak is what two have seen).
 * Each cycle prints a line with the objects known so far; the cycle's own record is beside it. */
#ifndef TESTS_TRUTH_H
#define TESTS_TRUTH_H

#include "noinline.h"
#include "scrub.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MASK 0x5a5a5a5a5a5a5a5aul /* an address XORed with it is no address */

struct truth_case {
    const char *name;
    void (*before)(void); /* may be NULL */
    /* Leaves the objects held as the case wants it, or calls look() while it holds them. */
    void (*body)(void);
    /* Where LeakSanitizer says something else: its (direct, indirect) and why.  NULL: the same.
     * Numbers of -1: it is not asked. */
    const char *lsan;
    int lsan_direct, lsan_indirect;
};
#define UNMAPPED "does not look into memory that the program has mapped"
extern const struct truth_case truth_roots[], truth_threads[], truth_shapes[], truth_cxx[];

extern const char *truth_plugin; /* path of a shared library to open */

/* Two cycles.  At most once a case; at the end, where the body has not called it. */
void look(void);
/* Before each cycle that the program asks for, every word below the frame that does is this
 * address, masked (MASK), as calls might have left it. */
extern uintptr_t truth_litter;
/* One cycle, in a forked copy. */
void look_once(void);

enum fate { LIVE, DIRECT, INDIRECT };

/* Counts a block that malloc or a relative of it has given. */
void *counted(void *block, enum fate fate);
/* Takes one off the count, before it is freed or counted as something else. */
void *uncounted(void *block, enum fate fate);
/* A block of `size` zeros. */
void *object(size_t size, enum fate fate);
/* Direct and indirect ones reach each other and differ in size: which is the direct one is not
 * said. */
void truth_group(void);
/* Reachable blocks of others come and go: only the leaks are known. */
void truth_live_open(void);

struct node {
    struct node *left, *right;
    uint64_t payload[2];
};
/* `length` nodes, each with the next in `left`; the first is `head`, the others `rest`. */
struct node *chain(int length, enum fate head, enum fate rest);
struct node *tree(int depth, enum fate head, enum fate rest);

/* An address that no marker knows, and back. */
static inline uintptr_t hide(const void *p)
{
    return (uintptr_t)p ^ MASK;
}

/* A thread that is there before the first cycle, then holds something its own way until the end. */
struct actor {
    void (*hold)(struct actor *); /* ends with wait_for_end */
    uintptr_t hidden;             /* of what it is to hold */
    void *memory;                 /* stack or other help, from before */
    int step, done;
};
void actor_start(struct actor *actor);
/* Has it hold; returns when it does. */
void actor_go(struct actor *actor);
void actor_holds(struct actor *actor);
void actor_wait(struct actor *actor);

#ifdef __cplusplus
}
#endif
#endif
