/* Which of the library's own system calls (base/system_calls.def) a service's SystemCallFilter=
 * refuses. */
#ifndef MEMTOP_UNIT_CALLS_H
#define MEMTOP_UNIT_CALLS_H

#include "unit_file.h"

struct unit_calls {
    char refused[2048]; /* their names, with a blank between; "": none */
    bool only_cycles;   /* only cycles need them; all else works without */
    bool kills;         /* a refused call ends the process; else it fails with an error */
};

/* Which calls are needed depends on the options in force (base/options.h).  `sets` is
 * systemd_call_sets(). */
void unit_calls(struct unit_calls *calls, const struct unit *unit, const char *sets);

#endif
