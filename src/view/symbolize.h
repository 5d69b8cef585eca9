/* From an address to the functions it lies in: names, files, lines, inlined calls too.
 *
 * It works on what a segment says of a module (path, load bias, build ID) and the files on disk,
 * so the process may be stopped, dead or our own.  A file whose build ID is not the one recorded
 * was replaced since: it gives no names rather than wrong ones.
 *
 * DWARF is read by elfutils' libdw, opened at run time and kept private: a program that is watched
 * carries it only once a profile has been written, and where it is missing there are addresses
 * only.  It looks for separate debug files by build ID and .gnu_debuglink below /usr/lib/debug, and
 * never asks a server, whatever DEBUGINFOD_URLS says.
 *
 * Memory: malloc.  One thread at a time for each symbolizer. */
#ifndef VIEW_SYMBOLIZE_H
#define VIEW_SYMBOLIZE_H

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct symbolizer;

struct symbolizer_options {
    const char *root; /* put before paths, e.g. "/proc/812/root"; NULL: none.  Copied */
    pid_t pid;        /* alive: also try its /proc/PID/exe and map_files; 0: not */
    pid_t own_pid;    /* alive: its number in its own PID namespace; 0: not known */
    uid_t uid;        /* alive: whose files are believed to be its own */
    bool load_cxx;    /* may open libstdc++ to demangle; otherwise only if the process has it.  In
                         memtop true, in the library false */
    bool full_names;  /* C++ names with return type, arguments and template arguments; otherwise as
                         pprof shows them, see simple_name.h */
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

/* NULL: no memory.  That libdw is not there is no error: symbolizer_missing says so. */
struct symbolizer *symbolizer_create(const struct symbolizer_options *options);
void symbolizer_destroy(struct symbolizer *s); /* accepts NULL */

/* NULL, or that this process cannot have libdw, so that every look-up finds nothing, and what to
 * do: one phrase for whoever would have got names. */
const char *symbolizer_missing(void);

/* The frames at `address`, innermost inlined function first.  `address` is of the instruction
 * itself: for a return address give pc - 1.  `module` must hold it; NULL: none does, and it is one
 * frame, see jit_code.h.
 * Returns how many, 0 if there is no name; *frames is borrowed until the next call. */
size_t symbolizer_find(struct symbolizer *s, const struct md_module *module, uint64_t address,
                       const struct symbol_frame **frames);

/* Whether a frame stands for all code that has no module and no name.  Of several in a row, readers
 * show one; they are no recursion. */
bool symbol_frame_nameless(const struct symbol_frame *frame);
/* Whether code in no module may have names. */
bool symbolizer_has_jit_map(const struct symbolizer *s);

#endif
