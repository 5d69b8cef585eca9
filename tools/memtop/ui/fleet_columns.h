/* The columns of the list of processes: which of them there is room for, and where.  Pure. */
#ifndef MEMTOP_FLEET_COLUMNS_H
#define MEMTOP_FLEET_COLUMNS_H

#include "series/roster_rows.h"

struct fleet_column {
    enum roster_column column;
    int start, width; /* columns of the screen */
};

/* The columns of a screen so wide, from the left; how many.  They fall away in this order, so that
 * the command keeps FLEET_COMMAND_MIN: threads, pause, the heap's past, user, up, alloc/s, state,
 * leaked, RSS.  PID, growth and heap always stay.  The command has what is left. */
#define FLEET_COMMAND_MIN 14
size_t fleet_columns(int cols, struct fleet_column columns[ROSTER_COLUMNS]);
/* The heading. */
const char *fleet_title(enum roster_column column);
/* Whether numbers stand in it, at its right edge. */
bool fleet_is_number(enum roster_column column);
/* The column at this place of the screen; ROSTER_COLUMNS: none. */
enum roster_column fleet_column_at(int cols, int col);

#endif
