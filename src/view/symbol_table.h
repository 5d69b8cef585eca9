/* The functions, or the variables, in an object file's symbol tables, by address.  libdw has the
 * same look-up, but goes through all symbols each time.  Each object is used by one thread at a
 * time. */
#ifndef VIEW_SYMBOL_TABLE_H
#define VIEW_SYMBOL_TABLE_H

#include "view/libdw.h"

#include <stdbool.h>
#include <stddef.h>

struct symbol_table {
    bool variables;         /* given; else it is of functions */
    struct symbol *symbols; /* by address */
    size_t count, room;
    bool loaded;
};

/* The linker's name of what is around `address`, or NULL; *start, unless it is NULL, is where that
 * begins.  The first call reads .symtab, else
 * .dynsym.  `address` is one of the session that `mod` belongs to; the name lives as long as that
 * session. */
const char *symbol_table_find(struct symbol_table *table, const struct libdw *dw, Dwfl_Module *mod,
                              uint64_t address, uint64_t *start);
void symbol_table_fini(struct symbol_table *table);

#endif
