/* The drop-in that puts memdebug into a systemd service: the environment, what the service's
 * sandbox must allow for it and, as comments, what will not work all the same ("obstacles"). */
#ifndef MEMTOP_UNIT_DROPIN_H
#define MEMTOP_UNIT_DROPIN_H

#include "unit_file.h"

/* systemd reads drop-ins in the order of their names: this one after `systemctl edit`'s
 * override.conf. */
#define DROPIN_BASE "zz-memdebug.conf"

struct dropin_request {
    const struct unit *unit; /* without the drop-in itself */
    const char *library;     /* its path */
    const char *memdebug;    /* MEMDEBUG as a unit writes it, in force already (base/options.h) */
    const char *call_sets;   /* systemd_call_sets(), or NULL */
    const char *command;     /* that makes it, for a comment */
};

/* The text, malloc'ed; NULL: no memory.  *obstacles says how many it has. */
char *dropin_text(const struct dropin_request *request, unsigned *obstacles);
/* Calls `line` with each obstacle of a text, as one line without the comment's mark. */
void dropin_obstacles(const char *text, void (*line)(const char *text));

/* MEMDEBUG for the drop-in: what the unit's own Environment= says, and `settings` behind it.  It is
 * as a unit writes it, so each % of `settings` is doubled; malloc'ed.  NULL: no memory. */
char *dropin_memdebug(const struct unit *unit, char *const settings[], size_t count);

#endif
