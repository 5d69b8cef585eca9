/* What the live view shows, and how the user wants it: two structs that panels read and only
 * live_view.c and cmd_tail.c write.  Drawing never changes them. */
#ifndef MEMTOP_MODEL_H
#define MEMTOP_MODEL_H

#include "history.h"
#include "names.h"
#include "ui/screen.h"
#include "sites.h"
#include "cycles.h"

#define MODEL_HISTORY 7200 /* points; two hours at one a second */

/* The watched. */
struct model {
    const char *program; /* name */
    char identity[160];  /* "812 redis-server" or the log's name */
    char title[160];     /* what a process calls itself that has a title: "postgres: alice shop" */
    char state[64];      /* "live 3m12s", "dead, last wrote 4m ago", "reading" */
    bool alive, stopped;
    int64_t now_ns;                 /* of the newest data, CLOCK_MONOTONIC */
    const struct md_header *header; /* NULL: a log */
    const struct sites *sites;      /* NULL: a log */
    const struct names *names;
    const struct history *history;
    const struct trace *trace;
    struct pause_quantiles pauses;
    double alloc_rate, free_rate; /* bytes a second, NAN not known */
    bool alloc_bound, free_bound; /* nothing was published for a while: it is at most that */
    double alloc_objects_rate;
    double live_objects;
    double growth_bytes, growth_seconds; /* of the heap over the last minute, or as far as known */
    bool objects_counted; /* by the process, up to its last publication; else an estimate */
    uint64_t torn;
    const char *hint;       /* an empty view's: what to do next; or NULL */
    const char *leaks_hint; /* where leaks are not known: what to do; or NULL */
    size_t logs, log;       /* a log may hold several programs: how many, which one is shown */
};

enum live_pane { PANE_NONE, PANE_STACK, PANE_HELP };

/* The user's. */
struct wish {
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
