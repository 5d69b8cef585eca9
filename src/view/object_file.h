/* Finds the file of a module and its debug file, and makes sure that they are the right ones: a
 * file with another build ID has replaced the module's, and its names would be wrong.
 *
 * All descriptors are the caller's, read-only and close-on-exec.  Both functions that take a module
 * need libdw (libdw_get). */
#ifndef VIEW_OBJECT_FILE_H
#define VIEW_OBJECT_FILE_H

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The process whose files they are: fields as in struct symbolizer_options, `root` "" for none. */
struct object_process {
    const char *root;
    pid_t pid, own_pid;
    uid_t uid;
};

/* The module's own file or, failing that, its debug file, which has the same symbols.  -1: neither
 * is there, or what is there is another build. */
int object_file_open(const struct object_process *process, const struct md_module *module);

/* The separate debug file of `module`; -1: there is none.  `link` and `crc` are its .gnu_debuglink,
 * `link` NULL if it has none.  *name gets the path as it is below the root it was found in, to be
 * freed; `name` may be NULL. */
int object_file_open_debug(const struct object_process *process, const struct md_module *module,
                           const char *link, uint32_t crc, char **name);

/* A file that the process itself may have written: regular, its user's, and no symbolic link.  -1:
 * there is none such. */
int object_file_open_owned(const struct object_process *process, const char *path);

/* Whether a path leads to something that is no regular file: to open it might have an effect, or
 * wait. */
bool object_file_is_special(const char *path);

#endif
