/* What stacks are called.  Reading a big program's DWARF takes seconds, so a thread of ours does it
 * and the screen shows `module+0x1234` until the name is there: asking never waits.
 *
 * One thread (the caller's) uses all of these.  What names_find returns stays until names_destroy
 * or, if not yet resolved, until the next names_take. */
#ifndef MEMTOP_NAMES_H
#define MEMTOP_NAMES_H

#include "view/snapshot.h"
#include "view/symbolize.h"

struct name_frame {
    char *function;   /* "" not known */
    char *file;       /* path as in the debug information, "" */
    char *module;     /* base name, "" */
    uint64_t pc;      /* in the process */
    uint64_t address; /* in the module's symbol tables */
    uint32_t line;
    bool inlined;  /* into the next */
    bool nameless; /* all in a row that have no module and no name; `pc` is of the innermost */
};

struct stack_names {
    uint32_t stack;
    bool resolved;
    struct name_frame *frames; /* innermost first */
    size_t frame_count;
    char *label; /* one line: the first frame that is the program's own, then its callers */
    size_t head; /* bytes of it that name that frame */
};

struct names;

/* With `background` look-ups are done by a thread, else by names_want.  NULL: no memory. */
struct names *names_create(const struct symbolizer_options *options, bool background);
void names_destroy(struct names *names); /* accepts NULL; does not wait for a long look-up */
/* Asks for the names of a stack of this snapshot; the last one asked for goes first. */
void names_want(struct names *names, const struct snapshot *snapshot, uint32_t stack);
/* Takes in what the thread has finished; true if anything changed. */
bool names_take(struct names *names);
/* Readable when there is something to take; -1 without a thread. */
int names_fd(const struct names *names);
/* What is known, or NULL before the first names_want. */
const struct stack_names *names_find(const struct names *names, uint32_t stack);
/* The address that makes a stack's call site: of the innermost frame that is the program's own, not
 * an allocator's (libc, operator new, xmalloc, ...).  Modules tell at once, functions once their
 * names are known: the answer may change after names_want and names_take.  All code without module
 * and name is one call site. */
#define NAMES_SITE_NAMELESS 1 /* no code lies there */
uint64_t names_site(struct names *names, const struct snapshot *snapshot, uint32_t stack);
/* Grows whenever answers of names_site may have changed. */
uint64_t names_learned(const struct names *names);
/* Threads that still run: if not 0, end with _exit. */
unsigned names_running(void);

/* The label of some frames, malloc'ed; *head as in stack_names (may be NULL).  Pure. */
char *names_label(const struct name_frame *frames, size_t count, size_t *head);

#endif
