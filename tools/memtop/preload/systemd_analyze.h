/* Asks systemd-analyze, run as a program, which needs no running manager. */
#ifndef MEMTOP_SYSTEMD_ANALYZE_H
#define MEMTOP_SYSTEMD_ANALYZE_H

#include "unit_file.h"

/* The sets of system calls, as `systemd-analyze syscall-filter` prints them; malloc'ed.  NULL: it
 * cannot be run. */
char *systemd_call_sets(void);
/* Whether a word of SystemCallFilter=, a call or a set, covers a call.  `sets` as above. */
bool systemd_call_is_in(const char *sets, const char *word, const char *call);

/* Whether systemd accepts the unit with a drop-in of this name and text.  0; EINVAL with its first
 * complaint about the drop-in; ENOENT with one line: it could not be asked. */
int systemd_verify(const struct unit *unit, const char *base, const char *text,
                   char error[VIEW_ERROR_SIZE]);

#endif
