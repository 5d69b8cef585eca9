/* What the stacks of leaks are called.  There may be millions of stacks, made of a few thousand
 * places: a place is looked up once, judged once by the suppressions, and everything else is walks
 * over numbers.
 *
 * Recursion makes many stacks of one mistake: a tree that is forgotten was allocated from as many
 * stacks as it has nodes.  So a stack is folded: from a function that comes again further out, all
 * in between is left out.  What folds to the same calls is one stack to whoever reads of leaks.
 *
 * Memory: malloc. */
#ifndef VIEW_LEAK_STACKS_H
#define VIEW_LEAK_STACKS_H

#include "view/containers.h"
#include "view/snapshot.h"
#include "view/suppressions.h"
#include "view/symbolize.h"

/* One function of a stack.  Strings are "" where not known. */
struct leak_frame {
    const char *function;    /* short, as pprof shows it */
    const char *full_name;   /* with arguments and template arguments */
    const char *system_name; /* as in the symbol table */
    const char *file;
    const char *module; /* path */
    uint64_t pc;        /* of the call, in the process */
    uint64_t address;   /* of it in the module's symbol tables, what addr2line takes */
    uint64_t offset;    /* of it in the module's file */
    uint32_t line;      /* 0: not known */
    uint32_t identity;  /* equal for the same function; of its own where there is no name */
    bool nameless;      /* all code that has no module and no name: `pc` is 0 */
};

/* An address in code: the functions it lies in, the innermost inlined one first.  All code that has
 * no module and no name is one place. */
struct leak_place {
    uint32_t frame_first, frame_count;
    uint32_t rule; /* of the suppressions, SUPPRESSIONS_NONE */
    bool excluded;
};

struct leak_stacks {
    const struct snapshot *snap;
    struct symbolizer *symbolizer;
    const struct suppressions *rules; /* what places are judged by; NULL: none */
    const char *const *excludes;
    size_t exclude_count;
    struct leak_place *places;
    struct leak_frame *frames;
    uint32_t *walk, *folded, *position; /* scratch: places and frames of one stack */
    size_t place_count, place_room, frame_count, frame_room, walk_room, folded_room, position_room,
        identity_count;
    struct pair_map place_index, identity_index;
    struct string_pool strings;
};

/* A zeroed struct with the inputs set (borrowed) is ready for use. */
void leak_stacks_fini(struct leak_stacks *s);

/* The places of a stack, the innermost first, without those of this library; numbers in `places`.
 * NULL: no memory.  Borrowed until the next call. */
const uint32_t *leak_stacks_walk(struct leak_stacks *s, uint32_t stack, size_t *count);
/* The frames of a stack, folded; numbers in `frames`.  *recursive says that some were left out. */
const uint32_t *leak_stacks_fold(struct leak_stacks *s, uint32_t stack, size_t *count,
                                 bool *recursive);

#endif
