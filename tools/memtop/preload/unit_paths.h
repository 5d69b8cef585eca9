/* What a service sees of the file system, by the settings of its sandbox (systemd.exec(5)).  The
 * setting that names the deepest directory counts.  Paths with specifiers (%t) are passed over. */
#ifndef MEMTOP_UNIT_PATHS_H
#define MEMTOP_UNIT_PATHS_H

#include "unit_file.h"

enum path_view {
    PATH_SEEN,
    PATH_COVERED, /* something else lies over it: a bind mount brings it back */
    PATH_OTHER,   /* it has its own under that name */
    PATH_CLOSED,  /* no access */
};

/* `setting`: the one that makes it so, "" if none does. */
enum path_view unit_path_view(const struct unit *unit, const char *path, const char **setting);
bool unit_path_writable(const struct unit *unit, const char *path, const char **setting);
bool unit_path_executable(const struct unit *unit, const char *path);
/* PrivateTmp= and what implies it. */
bool unit_has_private_tmp(const struct unit *unit);
/* Not root, as far as the unit tells. */
bool unit_has_user(const struct unit *unit);
bool unit_is_dynamic(const struct unit *unit);

#endif
