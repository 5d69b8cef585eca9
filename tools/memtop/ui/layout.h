/* Where the panels stand: the size of the screen in, rectangles out.  Pure.
 *
 * What must be seen comes first: one line of identity, the figures, the call sites.  Charts, then
 * trace lines take what is left.  Rectangles never overlap and never leave the screen. */
#ifndef MEMTOP_LAYOUT_H
#define MEMTOP_LAYOUT_H

#include "screen.h"

#define LAYOUT_MIN_ROWS 10
#define LAYOUT_MIN_COLS 40

struct layout_parts {
    bool sites;  /* there are call sites to show (not so for a trace log) */
    bool rate;   /* the allocation rate is known */
    bool cycles; /* there are cycles: pauses and trace lines */
    bool detail; /* the selected site's stack is open */
};

struct layout {
    bool too_small;    /* nothing but a sentence fits */
    struct rect title; /* who */
    struct rect figures;
    struct rect heap;   /* the chart; captions and edges included */
    struct rect pauses; /* chart */
    struct rect rate;   /* chart */
    struct rect sites;
    struct rect detail;
    struct rect lines; /* the last trace lines */
    struct rect footer;
};

struct layout layout_make(int rows, int cols, struct layout_parts parts);

#endif
