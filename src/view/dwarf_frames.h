/* What DWARF and the symbol table of one object file say about an address.  It keeps libdw's
 * session for that file, and beside it an index of functions, because libdw would walk a
 * compilation unit from its start for each look-up. */
#ifndef VIEW_DWARF_FRAMES_H
#define VIEW_DWARF_FRAMES_H

#include "view/object_file.h"

#include <stddef.h>

struct dwarf_object;

/* A function as the file names it.  Strings are libdw's: they live until dwarf_object_close. */
struct dwarf_frame {
    const char *name; /* in the source; NULL if only the linker's is known */
    const char *linkage_name;
    const char *file; /* or NULL */
    uint32_t line, start_line;
};
#define DWARF_FRAMES_MAX 64

/* `module` and `place` are borrowed until dwarf_object_close.  NULL: there is no such file, it is
 * another build, or there is no libdw. */
struct dwarf_object *dwarf_object_open(const struct object_place *place,
                                       const struct md_module *module);
void dwarf_object_close(struct dwarf_object *object); /* accepts NULL */

/* The frames at `address` (in the file's own addresses), innermost first; 0: no name. */
size_t dwarf_object_find(struct dwarf_object *object, uint64_t address,
                         struct dwarf_frame frames[DWARF_FRAMES_MAX]);

#endif
