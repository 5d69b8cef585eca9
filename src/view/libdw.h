/* elfutils' libdw and libelf as a table of functions, opened at run time: a program that needs no
 * names must not have them loaded, and no program must be bound to their symbols because of us. */
#ifndef VIEW_LIBDW_H
#define VIEW_LIBDW_H

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwelf.h>
#include <elfutils/libdwfl.h>

#define LIBDW_FUNCTIONS(F)                                                                         \
    F(dwarf_attr_integrate)                                                                        \
    F(dwarf_child)                                                                                 \
    F(dwarf_diename)                                                                               \
    F(dwarf_dieoffset)                                                                             \
    F(dwarf_filesrc)                                                                               \
    F(dwarf_formstring)                                                                            \
    F(dwarf_formudata)                                                                             \
    F(dwarf_getsrc_die)                                                                            \
    F(dwarf_getsrcfiles)                                                                           \
    F(dwarf_haspc)                                                                                 \
    F(dwarf_lineno)                                                                                \
    F(dwarf_linesrc)                                                                               \
    F(dwarf_ranges)                                                                                \
    F(dwarf_siblingof)                                                                             \
    F(dwarf_tag)                                                                                   \
    F(dwelf_dwarf_gnu_debugaltlink)                                                                \
    F(dwelf_elf_gnu_build_id)                                                                      \
    F(dwfl_begin)                                                                                  \
    F(dwfl_end)                                                                                    \
    F(dwfl_module_addrdie)                                                                         \
    F(dwfl_module_getdwarf)                                                                        \
    F(dwfl_module_getelf)                                                                          \
    F(dwfl_module_getsym_info)                                                                     \
    F(dwfl_module_getsymtab)                                                                       \
    F(dwfl_module_info)                                                                            \
    F(dwfl_module_nextcu)                                                                          \
    F(dwfl_report_begin)                                                                           \
    F(dwfl_report_elf)                                                                             \
    F(dwfl_report_end)                                                                             \
    F(elf_begin)                                                                                   \
    F(elf_end)                                                                                     \
    F(elf_version)

struct libdw {
#define LIBDW_FIELD(name) __typeof__(&name) name;
    LIBDW_FUNCTIONS(LIBDW_FIELD)
#undef LIBDW_FIELD
};

/* The table, or NULL if the library or one of its functions is missing.  The first call opens it,
 * RTLD_LOCAL, for ever.  Any thread, but not a signal handler, nor inside malloc: it calls
 * dlopen. */
const struct libdw *libdw_get(void);

#endif
