/* The names of stacks.  Reading a big program's DWARF takes seconds, so a thread of its own does
 * it, and the screen shows `module+0x1234` until the name is there: asking never waits.
 *
 * All of these functions are for one thread, the caller's.  What names_find returns stays until
 * names_destroy or, if not yet resolved, until the next names_take. */
#ifndef MEMTOP_NAMES_H
#define MEMTOP_NAMES_H

#include "view/snapshot.h"
#include "view/symbolize.h"

struct name_frame {
    char *function;   /* "": not known */
    char *file;       /* the path in the debug information; "": not known */
    char *module;     /* base name; "": none */
    uint64_t pc;      /* in the process */
    uint64_t address; /* in the module's symbol tables */
    uint32_t line;
    bool inlined; /* into the next frame */
    bool
        nameless; /* stands for several in a row without module and name; `pc` is the innermost's */
};

struct stack_names {
    uint32_t stack;
    bool resolved;             /* its frames have been looked up; else they are addresses */
    struct name_frame *frames; /* the innermost first */
    size_t frame_count;
    size_t first; /* the innermost frame that is the program's own; those before are looked through
                     (plumbing.h) */
    char *label;  /* one line: that frame, then its callers */
    size_t head;  /* bytes of `label` that name that frame: "function file.c:12" */
    size_t function; /* of these, bytes that name its function */
    char *via;       /* what it called to allocate, if that is a wrapper; NULL: none, or malloc */
};

struct names;

/* With `background` a thread looks names up, if one can be started, else names_want does.  NULL: no
 * memory. */
struct names *names_create(const struct symbolizer_options *options, bool background);
/* Accepts NULL.  Waits 0.1 s for the look-up under way; if it takes longer, all memory is kept. */
void names_destroy(struct names *names);
/* Asks for the names of a stack of this snapshot, unless that was done.  The last one asked for is
 * looked up first. */
void names_want(struct names *names, const struct snapshot *snapshot, uint32_t stack);
/* Takes over what the thread has finished.  True: something changed. */
bool names_take(struct names *names);
/* Readable when there is something to take; -1 without a thread. */
int names_fd(const struct names *names);
/* What is known of a stack; NULL before names_want. */
const struct stack_names *names_find(const struct names *names, uint32_t stack);
/* The address of a stack's call site: that of the innermost frame that is the program's own, and no
 * wrapper (plumbing.h).  A frame's module decides at first, its function
 * once the name is known, so the answer may change after names_want and names_take.  All code
 * without module and name is one call site. */
#define NAMES_SITE_NAMELESS 1 /* an address where no code can lie */
uint64_t names_site(struct names *names, const struct snapshot *snapshot, uint32_t stack);
/* Grows whenever answers of names_site may have changed. */
uint64_t names_learned(const struct names *names);
/* How many threads still run.  If any does, end the process by _exit. */
unsigned names_running(void);

/* Sets first, label, head, function and via from the frames.  `label` NULL: no memory. */
void names_describe(struct stack_names *stack);

#endif
