/* How the user wants to see it: what keys change, and live_view.c and cmd_tail.c write.  Panels
 * read it; drawing never changes it. */
#ifndef MEMTOP_VIEW_STATE_H
#define MEMTOP_VIEW_STATE_H

#include "screen.h"
#include "series/sites.h"

/* What the command line says of it. */
struct view_options {
    double interval_seconds; /* between updates */
    enum charset charset;
    bool color;
};

enum live_pane { PANE_NONE, PANE_STACK, PANE_HELP };

struct view_state {
    enum site_order order;
    enum live_pane pane;
    bool paused;
    int64_t frozen_ns; /* the right edge of charts while paused */
    bool typing;       /* the filter is being typed */
    char filter[64];
    double interval_seconds;
    double span_seconds;
    bool span_chosen; /* by the user; else the view fits it to what is known */
    /* The sites in the order shown, filtered, as places of sites.group; the cursor is a place in
     * it, -1 none. */
    const uint32_t *rows;
    size_t row_count;
    int cursor;
    size_t first_row; /* the first shown */
    /* The stacks of the site under the cursor, as places of sites.site, and the one shown. */
    const uint32_t *members;
    size_t member_count, member;
    size_t stack_scroll;
    char message[300]; /* in the footer's place, "" none */
};

#endif
