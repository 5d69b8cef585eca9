/* Where panels stand on the screen: its size in, rectangles out.  Pure.
 *
 * Title, figures and footer have their rows on every screen, call sites a heading and three rows.
 * Trace lines, then charts get rows on screens that have more.  Rectangles never overlap and never
 * leave the screen; one without rows or columns is not shown. */
#ifndef MEMTOP_LAYOUT_H
#define MEMTOP_LAYOUT_H

#include "screen.h"

#define LAYOUT_MIN_ROWS 10
#define LAYOUT_MIN_COLS 40

struct layout_parts {
    bool sites;    /* call sites: not of a log */
    bool rate;     /* the allocation rate */
    bool cycles;   /* pauses and trace lines */
    int verdict;   /* rows it takes, of which the first is always there; 0: there is none */
    bool detail;   /* the stack of the site under the cursor */
    bool resident; /* what the resident memory is made of: a third row of figures */
};

struct layout {
    bool too_small; /* only a sentence fits, and all rectangles are empty */
    struct rect title;
    struct rect verdict;
    struct rect figures;
    struct rect heap, pauses, rate; /* charts, with captions and axes */
    struct rect sites;
    struct rect detail;
    struct rect lines; /* the last trace lines */
    struct rect footer;
};

/* `parts` says what there is to show. */
struct layout layout_make(int rows, int cols, struct layout_parts parts);

#endif
