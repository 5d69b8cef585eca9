#include "view/symbol_table.h"

#include "view/containers.h"

#include <stdlib.h>

struct symbol {
    uint64_t address, size;
    uint64_t reach; /* the furthest end of this and all before it */
    const char *name;
    int rank; /* global 2, weak 1, local 0: of several names of a function the highest is taken */
};

static int compare_symbols(const void *a, const void *b)
{
    const struct symbol *x = a, *y = b;
    if (x->address != y->address)
        return x->address < y->address ? -1 : 1;
    if (x->size != y->size) /* the outer one first */
        return x->size > y->size ? -1 : 1;
    return x->rank - y->rank;
}

/* Functions in assembler may have no type, but then they have a size.  Mapping symbols ("$x") and
 * labels are no functions. */
static bool is_wanted(const struct symbol_table *table, int type, uint64_t size)
{
    if (table->variables)
        return (type == STT_OBJECT || type == STT_COMMON) && size; /* without, a mark */
    return type == STT_FUNC || type == STT_GNU_IFUNC || (type == STT_NOTYPE && size);
}

static void load(struct symbol_table *table, const struct libdw *dw, Dwfl_Module *mod)
{
    int count = dw->dwfl_module_getsymtab(mod);
    table->loaded = true;
    for (int i = 0; i < count; i++) {
        GElf_Sym s;
        GElf_Addr address;
        GElf_Word section;
        const char *name = dw->dwfl_module_getsym_info(mod, i, &s, &address, &section, NULL, NULL);
        int type = GELF_ST_TYPE(s.st_info), bind = GELF_ST_BIND(s.st_info);
        if (!name || !*name || *name == '$' || section == SHN_UNDEF || section == SHN_ABS ||
            !is_wanted(table, type, s.st_size) ||
            !array_reserve(&table->symbols, &table->room, table->count + 1, sizeof *table->symbols))
            continue;
        table->symbols[table->count++] = (struct symbol){
            .address = address,
            .size = s.st_size,
            .name = name,
            .rank = bind == STB_GLOBAL ? 2
                    : bind == STB_WEAK ? 1
                                       : 0,
        };
    }
    if (table->count)
        qsort(table->symbols, table->count, sizeof *table->symbols, compare_symbols);
    uint64_t reach = 0;
    for (size_t i = 0; i < table->count; i++) {
        struct symbol *s = &table->symbols[i];
        uint64_t end = s->address + s->size;
        reach = end > reach ? end : reach;
        s->reach = reach;
    }
}

const char *symbol_table_find(struct symbol_table *table, const struct libdw *dw, Dwfl_Module *mod,
                              uint64_t address, uint64_t *start)
{
    if (!table->loaded)
        load(table, dw, mod);
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (table->symbols[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    /* Goes backwards to the nearest symbol that holds the address, until none before reaches it.
     * One without a size holds all up to the next symbol. */
    for (size_t i = low; i-- > 0;) {
        const struct symbol *s = &table->symbols[i];
        if (address - s->address < s->size ||
            (!s->size && s->address == table->symbols[low - 1].address)) {
            if (start)
                *start = s->address;
            return s->name;
        }
        if (s->reach <= address)
            break;
    }
    return NULL;
}

void symbol_table_fini(struct symbol_table *table)
{
    free(table->symbols);
    *table = (struct symbol_table){.variables = table->variables};
}
