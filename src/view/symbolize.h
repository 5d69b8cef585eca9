/* From an address to the functions it lies in: names, files and lines, of inlined calls too.
 *
 * It works on what a segment says of a module (path, load bias, build ID) and on the files on disk,
 * so the process may be stopped, dead or our own.  A file with another build ID than the recorded
 * one has replaced the module's, and gives no names, which would be wrong.
 *
 * DWARF is read by elfutils' libdw, opened at run time (libdw.h): a watched program has it only
 * once it has needed names for a profile or a report.  Where it is missing there are addresses
 * only.  Debug files are looked for by build ID and by .gnu_debuglink, below /usr/lib/debug and
 * beside the module.  No server is asked, whatever DEBUGINFOD_URLS says.
 *
 * What was found for an address stays so as long as the symbolizer.
 *
 * Memory: malloc.  Each symbolizer is used by one thread at a time. */
#ifndef VIEW_SYMBOLIZE_H
#define VIEW_SYMBOLIZE_H

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct symbolizer;

struct symbolizer_options {
    const char *root; /* where paths begin, as "/proc/812/root"; NULL: ours.  Copied */
    pid_t pid;        /* if alive, to try its /proc/PID/exe and map_files too; else 0 */
    pid_t own_pid;    /* if alive, its number in its own PID namespace; 0: not known */
    uid_t uid;        /* if alive, the user whose perf map is believed (jit_code.h) */
    bool load_cxx;   /* may load libstdc++ to demangle; else it is used only if this process has it.
                        True in memtop, false in the library */
    bool full_names; /* names with return type, arguments and template arguments; else as pprof
                        shows them (simple_name.h) */
};

/* One function that an address lies in.  Strings are "" where not known and live as long as the
 * symbolizer. */
struct symbol_frame {
    const char *function;    /* demangled */
    const char *system_name; /* as in the symbol table */
    const char *file;
    uint32_t line; /* 0: not known */
    uint32_t start_line;
};

/* NULL: no memory.  It is no error if libdw is missing: symbolizer_missing says so. */
struct symbolizer *symbolizer_create(const struct symbolizer_options *options);
void symbolizer_destroy(struct symbolizer *s); /* accepts NULL */

/* NULL if this process has libdw.  If not, no look-up in a module finds anything, and this is a
 * phrase for the user that says so and what to do.  Static. */
const char *symbolizer_missing(void);

/* The frames at `address`, the innermost inlined function first.  `address` is of the instruction
 * itself: for a return address give pc - 1.  `module` must hold it; NULL: no module does, and the
 * answer is one frame (jit_code.h).
 * Returns how many; 0: there is no name, or no memory.  *frames is borrowed until the next call. */
size_t symbolizer_find(struct symbolizer *s, const struct md_module *module, uint64_t address,
                       const struct symbol_frame **frames);

/* The variable of `module` that `address` lies in, demangled, and how far behind its start; NULL:
 * there is no name.  It lives as long as the symbolizer. */
const char *symbolizer_variable(struct symbolizer *s, const struct md_module *module,
                                uint64_t address, uint64_t *offset);

/* Whether a frame stands for all code that has no module and no name.  Readers show several in a
 * row as one, and do not take them for recursion. */
bool symbol_frame_nameless(const struct symbol_frame *frame);
/* Whether the process has a perf map, so that code in no module may have names. */
bool symbolizer_has_jit_map(const struct symbolizer *s);

#endif
