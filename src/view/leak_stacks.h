/* The call stacks of leaks, with names.  There may be millions of stacks, but they are made of a
 * few thousand locations.  Each location is looked up once and judged once by the suppressions; all
 * other work is on numbers.
 *
 * Recursion makes many stacks of one mistake: a tree that is forgotten was allocated from as many
 * stacks as it has nodes.  So stacks are folded: of a function that stands in a stack several times
 * only the innermost call is kept, and all from there to the outermost one is left out.  Stacks
 * that fold to the same frames are one to the reader.
 *
 * Memory: malloc.  Each object is used by one thread at a time. */
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
    uint64_t address;   /* the same in the module's symbol tables, as addr2line takes it */
    uint64_t offset;    /* the same in the module's file */
    uint32_t line;      /* 0: not known */
    uint32_t identity;  /* equal for the same function; without a name, for the same pc */
    bool nameless;      /* stands for all code that has no module and no name: `pc` is 0 */
};

/* An address in code: the functions it lies in, the innermost inlined one first.  All code that has
 * no module and no name is one location. */
struct leak_location {
    uint32_t frame_first, frame_count;
    uint32_t rule; /* the suppression that matches, or SUPPRESSIONS_NONE */
    bool excluded; /* by `excludes` */
};

struct leak_stacks {
    const struct snapshot *snap;
    struct symbolizer *symbolizer;
    const struct suppressions *rules; /* NULL: none */
    const char *const *excludes;      /* names of functions, * is any text */
    size_t exclude_count;
    struct leak_location *locations;
    struct leak_frame *frames;
    uint32_t *walk, *folded, *position; /* scratch: locations and frames of one stack */
    size_t location_count, location_room, frame_count, frame_room, walk_room, folded_room,
        position_room, identity_count;
    struct pair_map location_index, identity_index;
    struct string_pool strings;
};

/* A zeroed struct is ready for use once its first five fields are set; what they point to is
 * borrowed.  _fini zeroes it. */
void leak_stacks_fini(struct leak_stacks *s);

/* The locations of a stack (its id), the innermost first, without this library's own: numbers in
 * `locations`.  NULL: no memory.  Borrowed until the next call. */
const uint32_t *leak_stacks_walk(struct leak_stacks *s, uint32_t stack, size_t *count);
/* The same as frames, folded: numbers in `frames`.  *recursive says that some were left out. */
const uint32_t *leak_stacks_fold(struct leak_stacks *s, uint32_t stack, size_t *count,
                                 bool *recursive);

#endif
