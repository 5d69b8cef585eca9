/* The drop-in that puts memdebug into a systemd service: what it sets, where the service's sandbox
 * has to let it, and, as comments, what the sandbox keeps from working all the same. */
#ifndef MEMTOP_UNIT_DROPIN_H
#define MEMTOP_UNIT_DROPIN_H

#include "unit_file.h"

/* Of those systemd reads in the order of their names: behind `systemctl edit`'s override.conf. */
#define DROPIN_BASE "zz-memdebug.conf"

struct dropin_request {
    const struct unit *unit; /* without the drop-in itself */
    const char *library;
    const char *memdebug;  /* as a unit writes it; base/options.h has it in force; "" none */
    const char *call_sets; /* systemd_call_sets(); NULL: not to be had */
    const char *command;   /* by what it is made */
};

/* The text, malloc'ed; NULL: no memory.  `obstacles` counts the comments. */
char *dropin_text(const struct dropin_request *request, unsigned *obstacles);
/* Each of them as one line, without the #. */
void dropin_obstacles(const char *text, void (*line)(const char *text));

/* What MEMDEBUG is to be: what the unit's own Environment= says, and `settings` behind it.  As a
 * unit writes it, each % of ours doubled; malloc'ed, NULL: no memory. */
char *dropin_memdebug(const struct unit *unit, char *const settings[], size_t count);

#endif
