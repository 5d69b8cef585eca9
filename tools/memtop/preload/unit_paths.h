/* What a service sees of the file system, by the settings of its sandbox (systemd.exec(5)).  Of the
 * settings that name a directory above a path the one with the deepest counts.  Words with
 * specifiers (%t) are passed over. */
#ifndef MEMTOP_UNIT_PATHS_H
#define MEMTOP_UNIT_PATHS_H

#include "unit_file.h"

enum path_view {
    PATH_SEEN,
    PATH_COVERED, /* something else is mounted over it; a bind mount brings it back */
    PATH_OTHER,   /* the service has its own directory of that name */
    PATH_CLOSED,  /* the service has no access */
};

/* *setting gets the name of the setting that decides; "": none does.  Static. */
enum path_view unit_path_view(const struct unit *unit, const char *path, const char **setting);
bool unit_path_writable(const struct unit *unit, const char *path, const char **setting);
bool unit_path_executable(const struct unit *unit, const char *path);
/* Whether PrivateTmp= is on, or implied. */
bool unit_has_private_tmp(const struct unit *unit);
/* Whether it runs as another user than root, as far as the unit says. */
bool unit_has_user(const struct unit *unit);
bool unit_is_dynamic(const struct unit *unit);

#endif
