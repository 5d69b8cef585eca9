/* What DWARF and the symbol table of one object file say about an address.  It keeps libdw's
 * session (a Dwfl) for that file, and an index of functions beside it, because libdw would walk a
 * compilation unit from its start for each look-up.
 *
 * Memory: malloc, and libdw's.  Each object is used by one thread at a time. */
#ifndef VIEW_DWARF_FRAMES_H
#define VIEW_DWARF_FRAMES_H

#include "view/object_file.h"

#include <stddef.h>

struct dwarf_object;

/* A function that an address lies in.  Strings are libdw's: they live until dwarf_object_close. */
struct dwarf_frame {
    const char *name; /* in the source; NULL if only the linker's is known */
    const char *linkage_name;
    const char *file;          /* or NULL */
    uint32_t line, start_line; /* 0: not known */
};
#define DWARF_FRAMES_MAX 64

/* Both arguments are borrowed until dwarf_object_close.  NULL: the file is not there, what is there
 * is another build, or there is no libdw or no memory. */
struct dwarf_object *dwarf_object_open(const struct object_process *process,
                                       const struct md_module *module);
void dwarf_object_close(struct dwarf_object *object); /* accepts NULL */

/* The frames at `address`, which is one of the file's own, the innermost first.  Returns how many;
 * 0: there is no name.  The first call for a compilation unit costs a walk over all of it. */
size_t dwarf_object_find(struct dwarf_object *object, uint64_t address,
                         struct dwarf_frame frames[DWARF_FRAMES_MAX]);

/* The linker's name of the variable that this address of the file's lies in, and how far behind its
 * start; NULL: there is none. */
const char *dwarf_object_variable(struct dwarf_object *object, uint64_t address, uint64_t *offset);

#endif
