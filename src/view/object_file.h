/* Finding the file behind a module, and its debug file, and being sure that it is the one: a build
 * ID that differs means a binary that was replaced, whose names would be wrong. */
#ifndef VIEW_OBJECT_FILE_H
#define VIEW_OBJECT_FILE_H

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The process whose files they are, as in struct symbolizer_options; `root` "" for none. */
struct object_place {
    const char *root;
    pid_t pid, own_pid;
    uid_t uid;
};

/* A descriptor of the module's own file, or, failing that, of its debug file, which has the same
 * symbols; -1: neither is there, or what is there is another build. */
int object_file_open(const struct object_place *place, const struct md_module *module);

/* A descriptor of the separate debug file of `module`, -1: none.  `link` and `crc` are its
 * .gnu_debuglink, NULL if it has none.  *name gets the path, to be freed. */
int object_file_open_debug(const struct object_place *place, const struct md_module *module,
                           const char *link, uint32_t crc, char **name);

/* A descriptor of a file that the process itself has written: regular, its user's, and no link; -1:
 * there is none such. */
int object_file_open_owned(const struct object_place *place, const char *path);

/* Whether a path leads to something that is no regular file: to open it might act, or wait. */
bool object_file_is_special(const char *path);

#endif
