/* What systemd itself says: systemd-analyze, run as a program.  It needs no running manager. */
#ifndef MEMTOP_SYSTEMD_ANALYZE_H
#define MEMTOP_SYSTEMD_ANALYZE_H

#include "unit_file.h"

/* The sets of system calls, as `systemd-analyze syscall-filter` prints them; malloc'ed, NULL: it is
 * not to be had. */
char *systemd_call_sets(void);
/* Whether a system call, or what a set says of it, is meant by one word of a SystemCallFilter=. */
bool systemd_call_is_in(const char *sets, const char *word, const char *call);

/* Whether systemd takes the unit with the drop-in `text`: 0; EINVAL with its first complaint about
 * the drop-in; ENOENT with one line: there is no systemd-analyze to ask. */
int systemd_verify(const struct unit *unit, const char *base, const char *text,
                   char error[VIEW_ERROR_SIZE]);

#endif
