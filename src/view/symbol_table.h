/* The functions that an object file's symbol tables name, by address.  libdw has the same look-up,
 * but goes through all symbols each time. */
#ifndef VIEW_SYMBOL_TABLE_H
#define VIEW_SYMBOL_TABLE_H

#include "view/libdw.h"

#include <stdbool.h>
#include <stddef.h>

struct symbol_table {
    struct symbol *symbols; /* by address */
    size_t count, room;
    bool loaded;
};

/* The linker's name of the function around `address`, or NULL.  Reads .symtab, else .dynsym, at
 * the first call; `address` is one of the session `mod` belongs to, and the name lives as long. */
const char *symbol_table_find(struct symbol_table *table, const struct libdw *dw, Dwfl_Module *mod,
                              uint64_t address);
void symbol_table_fini(struct symbol_table *table);

#endif
