/* The roster as rows of a table: filtered, sorted, as a tree of parents and children, or summed up
 * by program.  Pure; rows are made anew from the members each time. */
#ifndef MEMTOP_ROSTER_ROWS_H
#define MEMTOP_ROSTER_ROWS_H

#include "roster.h"

enum roster_column {
    ROSTER_PID,
    ROSTER_USER,
    ROSTER_STATE,
    ROSTER_UP,
    ROSTER_HEAP,
    ROSTER_GROWTH,
    ROSTER_LEAKED,
    ROSTER_ALLOC,
    ROSTER_RSS,
    ROSTER_PAUSE,
    ROSTER_THREADS,
    ROSTER_PAST, /* the heap's sparkline: not sorted by */
    ROSTER_COMMAND,
    ROSTER_COLUMNS
};

enum roster_shape { ROSTER_LIST, ROSTER_TREE, ROSTER_TOTALS };

struct roster_order {
    enum roster_column column;
    enum roster_shape shape;
    const char *filter; /* in the command, name, user or pid, ignoring case; "": all */
};

struct roster_row {
    const struct member *member; /* of totals the one with the greatest heap */
    size_t processes;            /* that it sums up; 1 */
    int depth;                   /* in the tree */
    bool last;                   /* of its parent's children */
    double figure[FIGURE_COUNT];
};

/* The figure that a column shows; -1: it shows none. */
int roster_figure(enum roster_column column);
/* The next column to sort by, to the right or, `step` -1, to the left. */
enum roster_column roster_next(enum roster_column column, int step);

/* Fills rows[0 .. count) at most and returns how many there are.  Numbers are sorted from the
 * greatest, texts and pids from the least; what is not known comes last, the dead behind the
 * living, equals by pid, of the dead who died last first.  A tree has its members below their
 * parents, as far as those are in the list; siblings are sorted, a branch by its parent.  Totals
 * are of the living: sums, of UP and PAUSE the greatest, in as far as they are known. */
size_t roster_rows(struct member *const *members, size_t count, const struct roster_order *order,
                   struct roster_row *rows);

#endif
