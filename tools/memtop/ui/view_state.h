/* What the user has chosen to see.  Only live_view.c and cmd_tail.c write it, by keys; panels read
 * it. */
#ifndef MEMTOP_VIEW_STATE_H
#define MEMTOP_VIEW_STATE_H

#include "screen.h"
#include "series/sites.h"

/* What the command line says of that. */
struct view_options {
    double interval_seconds; /* between updates */
    enum charset charset;
    bool color;
    enum md_bucket_kind kind; /* of the call sites, at first */
};

enum live_pane { PANE_NONE, PANE_STACK, PANE_HELP };

struct view_state {
    enum site_order order;
    enum live_pane pane;
    bool paused;
    int64_t frozen_ns; /* the right edge of charts while paused, monotonic */
    int64_t moment_ns; /* of which figures are shown while paused; 0: of frozen_ns */
    bool typing;       /* keys go into the filter */
    char filter[64];
    double interval_seconds;
    double span_seconds;
    bool span_chosen; /* by the user; else the view fits the span to what is known */
    /* Call sites in the order shown, filtered: indexes of sites.group.  Borrowed. */
    const uint32_t *rows;
    size_t row_count;
    int cursor;       /* an index of `rows`; -1: none */
    size_t first_row; /* the first that is shown */
    /* The stacks of that site, and which is shown: indexes of sites.site.  Borrowed. */
    const uint32_t *members;
    size_t member_count, member;
    size_t stack_scroll; /* frames that are scrolled away */
    char message[300];   /* shown in place of the footer; "": none */
};

/* Where charts end, and of which moment figures are; `now_ns` is the newest that is known. */
static inline int64_t view_end(const struct view_state *state, int64_t now_ns)
{
    return state->paused ? state->frozen_ns : now_ns;
}
static inline int64_t view_moment(const struct view_state *state, int64_t now_ns)
{
    return state->paused && state->moment_ns ? state->moment_ns : view_end(state, now_ns);
}

#endif
