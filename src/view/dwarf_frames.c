#include "view/dwarf_frames.h"

#include "view/containers.h"
#include "view/libdw.h"
#include "view/symbol_table.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIE_DEPTH_MAX 64

/* Three kinds of address meet here: those of the file itself; those of libdw's session, which are
 * the file's plus dwarf_object.bias; and those of the debug data, which are the session's minus the
 * bias that libdw gives with them. */

/* A range of code and the function it belongs to, in debug addresses. */
struct function_range {
    uint64_t low, high;
    Dwarf_Die die;
};

/* The functions of one compilation unit by address; ranges of nested functions lie in their
 * parents'. */
struct unit {
    struct function_range *ranges;
    size_t count, room;
    uint64_t longest; /* bytes of the longest range */
};

struct unit_range {
    uint64_t low, high;
    Dwarf_Die die;
};

struct dwarf_object {
    const struct libdw *dw;
    const struct object_process *process;
    const struct md_module *module;
    Dwfl_Callbacks callbacks;
    Dwfl *dwfl;
    Dwfl_Module *mod;
    GElf_Addr bias; /* session address - file address */
    bool has_dwarf;
    struct symbol_table symbols, variables;
    struct pair_map unit_index; /* offset of the unit -> units */
    struct unit *units;
    size_t unit_count, unit_room;
    /* Units by debug address, made only if .debug_aranges says nothing (clang writes none). */
    bool scanned;
    struct unit_range *unit_ranges;
    size_t unit_range_count, unit_range_room;
};

static int find_no_elf(Dwfl_Module *mod, void **userdata, const char *name, Dwarf_Addr base,
                       char **file_name, Elf **elf)
{
    return -1;
}

/* Finds the debug file in place of libdw's own function, which asks debuginfod's servers.  libdw
 * also asks for the part that dwz has made of several debug files, whose `link` is a path.  -1 then
 * lets it look on this machine, see alt_is_harmless. */
static int find_debuginfo(Dwfl_Module *mod, void **userdata, const char *name, Dwarf_Addr base,
                          const char *file_name, const char *link, GElf_Word crc, char **found)
{
    const struct dwarf_object *o = *userdata;
    if (!o || (link && strchr(link, '/')))
        return -1;
    return object_file_open_debug(o->process, o->module, link, crc, found);
}

/* Whether the DWARF may be used: libdw opens dwz's part by the path that the file gives, whatever
 * lies there. */
static bool alt_is_harmless(const struct libdw *dw, Dwarf *dwarf)
{
    const char *name = NULL;
    const void *id;
    return dw->dwelf_dwarf_gnu_debugaltlink(dwarf, &name, &id) <= 0 || !name ||
           !object_file_is_special(name);
}

struct dwarf_object *dwarf_object_open(const struct object_process *process,
                                       const struct md_module *module)
{
    const struct libdw *dw = libdw_get();
    struct dwarf_object *o = dw ? calloc(1, sizeof *o) : NULL;
    int fd = o ? object_file_open(process, module) : -1;
    if (fd < 0) {
        free(o);
        return NULL;
    }
    o->dw = dw;
    o->process = process;
    o->variables.variables = true;
    o->module = module;
    o->callbacks = (Dwfl_Callbacks){.find_elf = find_no_elf, .find_debuginfo = find_debuginfo};
    o->dwfl = dw->dwfl_begin(&o->callbacks);
    if (o->dwfl) {
        dw->dwfl_report_begin(o->dwfl);
        o->mod = dw->dwfl_report_elf(o->dwfl, "module", "", fd, 0, true);
        dw->dwfl_report_end(o->dwfl, NULL, NULL);
    }
    if (!o->mod) { /* otherwise the session owns the descriptor */
        close(fd);
        dwarf_object_close(o);
        return NULL;
    }
    void **userdata;
    Dwarf_Addr bias;
    dw->dwfl_module_info(o->mod, &userdata, NULL, NULL, NULL, NULL, NULL, NULL);
    *userdata = o;
    if (!dw->dwfl_module_getelf(o->mod, &o->bias)) {
        dwarf_object_close(o);
        return NULL;
    }
    Dwarf *dwarf = dw->dwfl_module_getdwarf(o->mod, &bias);
    o->has_dwarf = dwarf && alt_is_harmless(dw, dwarf);
    return o;
}

void dwarf_object_close(struct dwarf_object *o)
{
    if (!o)
        return;
    for (size_t i = 0; i < o->unit_count; i++)
        free(o->units[i].ranges);
    free(o->units);
    free(o->unit_ranges);
    pair_map_fini(&o->unit_index);
    symbol_table_fini(&o->symbols);
    symbol_table_fini(&o->variables);
    if (o->dwfl)
        o->dw->dwfl_end(o->dwfl);
    free(o);
}

static void add_unit_ranges(struct dwarf_object *o, Dwarf_Die *unit)
{
    Dwarf_Addr base, low, high;
    for (ptrdiff_t at = 0; (at = o->dw->dwarf_ranges(unit, at, &base, &low, &high)) > 0;) {
        if (low >= high || !array_reserve(&o->unit_ranges, &o->unit_range_room,
                                          o->unit_range_count + 1, sizeof *o->unit_ranges))
            continue;
        o->unit_ranges[o->unit_range_count++] = (struct unit_range){low, high, *unit};
    }
}

static int compare_unit_ranges(const void *a, const void *b)
{
    uint64_t x = ((const struct unit_range *)a)->low, y = ((const struct unit_range *)b)->low;
    return x < y ? -1 : x > y;
}

/* The compilation unit of a session address; *bias is session minus debug address. */
static bool find_unit(struct dwarf_object *o, uint64_t address, Dwarf_Die *unit, Dwarf_Addr *bias)
{
    Dwarf_Die *die = o->dw->dwfl_module_addrdie(o->mod, address, bias);
    /* libdw gives the code between two units to the one before. */
    if (die && o->dw->dwarf_haspc(die, address - *bias) > 0) {
        *unit = *die;
        return true;
    }
    if (!o->scanned) {
        o->scanned = true;
        for (die = NULL; (die = o->dw->dwfl_module_nextcu(o->mod, die, bias));)
            add_unit_ranges(o, die);
        if (o->unit_range_count)
            qsort(o->unit_ranges, o->unit_range_count, sizeof *o->unit_ranges, compare_unit_ranges);
    }
    if (!o->dw->dwfl_module_getdwarf(o->mod, bias))
        return false;
    address -= *bias;
    size_t low = 0, high = o->unit_range_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (o->unit_ranges[middle].low <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (!low || address >= o->unit_ranges[low - 1].high)
        return false;
    *unit = o->unit_ranges[low - 1].die;
    return true;
}

static void add_function(const struct dwarf_object *o, struct unit *unit, Dwarf_Die *die)
{
    Dwarf_Addr base, low, high;
    for (ptrdiff_t at = 0; (at = o->dw->dwarf_ranges(die, at, &base, &low, &high)) > 0;) {
        if (low >= high ||
            !array_reserve(&unit->ranges, &unit->room, unit->count + 1, sizeof *unit->ranges))
            continue;
        unit->ranges[unit->count++] = (struct function_range){low, high, *die};
        if (high - low > unit->longest)
            unit->longest = high - low;
    }
}

/* All functions with code below `parent`. */
static void add_functions(const struct dwarf_object *o, struct unit *unit, Dwarf_Die *parent,
                          unsigned depth)
{
    Dwarf_Die die;
    if (depth > DIE_DEPTH_MAX || o->dw->dwarf_child(parent, &die) != 0)
        return;
    do {
        switch (o->dw->dwarf_tag(&die)) {
        case DW_TAG_subprogram:
            add_function(o, unit, &die);
            add_functions(o, unit, &die, depth + 1);
            break;
        case DW_TAG_namespace:
        case DW_TAG_module:
        case DW_TAG_class_type:
        case DW_TAG_structure_type:
        case DW_TAG_union_type:
        case DW_TAG_lexical_block:
            add_functions(o, unit, &die, depth + 1);
            break;
        default:
            break;
        }
    } while (o->dw->dwarf_siblingof(&die, &die) == 0);
}

static int compare_functions(const void *a, const void *b)
{
    const struct function_range *x = a, *y = b;
    if (x->low != y->low)
        return x->low < y->low ? -1 : 1;
    return x->high > y->high ? -1 : x->high < y->high; /* the outer one first */
}

static struct unit *get_unit(struct dwarf_object *o, Dwarf_Die *die)
{
    uint32_t *slot = pair_map_put(&o->unit_index, o->dw->dwarf_dieoffset(die), 0);
    if (!slot)
        return NULL;
    if (*slot == PAIR_MAP_NONE) {
        if (!array_reserve(&o->units, &o->unit_room, o->unit_count + 1, sizeof *o->units))
            return NULL;
        struct unit *unit = &o->units[o->unit_count];
        *unit = (struct unit){0};
        add_functions(o, unit, die, 0);
        if (unit->count)
            qsort(unit->ranges, unit->count, sizeof *unit->ranges, compare_functions);
        *slot = (uint32_t)o->unit_count++;
    }
    return &o->units[*slot];
}

/* The innermost function around a debug address.  Ranges are walked from the last that begins at or
 * before it backwards, so the first that holds it is the innermost.  The walk ends where no range
 * is long enough to reach the address. */
static bool find_function(struct dwarf_object *o, Dwarf_Die *unit_die, uint64_t address,
                          Dwarf_Die *out)
{
    const struct unit *unit = get_unit(o, unit_die);
    size_t low = 0, high = unit ? unit->count : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (unit->ranges[middle].low <= address)
            low = middle + 1;
        else
            high = middle;
    }
    while (low-- > 0) {
        const struct function_range *r = &unit->ranges[low];
        if (address < r->high) {
            *out = r->die;
            return true;
        }
        if (address - r->low >= unit->longest)
            break;
    }
    return false;
}

/* An attribute, which an inlined or concrete instance may have from its abstract one.  NULL or 0:
 * there is none. */
static const char *die_text(const struct libdw *dw, Dwarf_Die *die, unsigned attribute)
{
    Dwarf_Attribute a;
    return dw->dwarf_attr_integrate(die, attribute, &a) ? dw->dwarf_formstring(&a) : NULL;
}

static uint32_t die_number(const struct libdw *dw, Dwarf_Die *die, unsigned attribute)
{
    Dwarf_Attribute a;
    Dwarf_Word value;
    if (!dw->dwarf_attr_integrate(die, attribute, &a) || dw->dwarf_formudata(&a, &value) != 0)
        return 0;
    return value > UINT32_MAX ? 0 : (uint32_t)value;
}

static void name_frame(const struct libdw *dw, Dwarf_Die *die, struct dwarf_frame *frame)
{
    frame->name = die_text(dw, die, DW_AT_name);
    frame->linkage_name = die_text(dw, die, DW_AT_linkage_name);
    if (!frame->linkage_name)
        frame->linkage_name = die_text(dw, die, DW_AT_MIPS_linkage_name);
    frame->start_line = die_number(dw, die, DW_AT_decl_line);
}

/* Goes down from a function through the inlined calls that hold the address: the function, then
 * each call in it.  Returns how many. */
static unsigned find_inlined(const struct libdw *dw, Dwarf_Die *function, uint64_t address,
                             Dwarf_Die chain[DWARF_FRAMES_MAX])
{
    unsigned count = 0;
    Dwarf_Die parent = *function, die;
    chain[count++] = parent;
    for (unsigned depth = 0; depth < 4 * DIE_DEPTH_MAX; depth++) {
        if (dw->dwarf_child(&parent, &die) != 0)
            return count;
        for (;;) {
            int tag = dw->dwarf_tag(&die);
            if ((tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block ||
                 tag == DW_TAG_try_block || tag == DW_TAG_catch_block) &&
                dw->dwarf_haspc(&die, address) > 0) {
                if (tag == DW_TAG_inlined_subroutine) {
                    if (count == DWARF_FRAMES_MAX)
                        return count;
                    chain[count++] = die;
                }
                break;
            }
            if (dw->dwarf_siblingof(&die, &die) != 0)
                return count;
        }
        parent = die;
    }
    return count;
}

static size_t dwarf_find(struct dwarf_object *o, uint64_t address,
                         struct dwarf_frame frames[DWARF_FRAMES_MAX])
{
    const struct libdw *dw = o->dw;
    Dwarf_Die unit, function, chain[DWARF_FRAMES_MAX];
    Dwarf_Addr bias = 0;
    if (!find_unit(o, address, &unit, &bias))
        return 0;
    const char *file = NULL;
    int line = 0;
    Dwarf_Line *source = dw->dwarf_getsrc_die(&unit, address - bias);
    if (source) {
        file = dw->dwarf_linesrc(source, NULL, NULL);
        if (dw->dwarf_lineno(source, &line) != 0 || line < 0)
            line = 0;
    }
    /* Assembler has lines but no functions: the symbol table names those. */
    unsigned count = find_function(o, &unit, address - bias, &function)
                         ? find_inlined(dw, &function, address - bias, chain)
                         : 0;
    Dwarf_Files *files = NULL;
    size_t file_count = 0;
    if (count > 1 && dw->dwarf_getsrcfiles(&unit, &files, &file_count) != 0)
        file_count = 0;
    for (unsigned i = 0; i < count; i++) {
        Dwarf_Die *die = &chain[count - 1 - i];
        frames[i] = (struct dwarf_frame){.file = file, .line = (uint32_t)line};
        name_frame(dw, die, &frames[i]);
        if (i + 1 < count) { /* the caller's line is that where this one was inlined */
            uint32_t number = die_number(dw, die, DW_AT_call_file);
            file = number < file_count ? dw->dwarf_filesrc(files, number, NULL, NULL) : NULL;
            line = (int)die_number(dw, die, DW_AT_call_line);
        }
    }
    if (count == 0) {
        frames[0] = (struct dwarf_frame){.file = file, .line = (uint32_t)line};
        count = 1;
    }
    return count;
}

size_t dwarf_object_find(struct dwarf_object *o, uint64_t address,
                         struct dwarf_frame frames[DWARF_FRAMES_MAX])
{
    address += o->bias;
    size_t count = o->has_dwarf ? dwarf_find(o, address, frames) : 0;
    struct dwarf_frame *outer = count ? &frames[count - 1] : NULL;
    if (outer && outer->linkage_name)
        return count;
    const char *name = symbol_table_find(&o->symbols, o->dw, o->mod, address, NULL);
    /* gcc gives no linkage name to what is static or in an anonymous namespace.  C++'s symbol has
     * its namespace and arguments; C's ("f.isra.0") says no more than DWARF. */
    if (outer && outer->name) {
        if (name && name[0] == '_' && name[1] == 'Z')
            outer->linkage_name = name;
        return count;
    }
    if (!name)
        return 0;
    if (!count)
        frames[count++] = (struct dwarf_frame){0};
    frames[count - 1].linkage_name = name;
    return count;
}

const char *dwarf_object_variable(struct dwarf_object *o, uint64_t address, uint64_t *offset)
{
    uint64_t start = 0;
    const char *name = symbol_table_find(&o->variables, o->dw, o->mod, address + o->bias, &start);
    *offset = address + o->bias - start;
    return name;
}
