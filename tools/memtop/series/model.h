/* What there is to show of a target, computed anew at each tick: panels read it, and only watch.c
 * and cmd_tail.c write it.  Drawing never changes it. */
#ifndef MEMTOP_MODEL_H
#define MEMTOP_MODEL_H

#include "cycles.h"
#include "history.h"
#include "names.h"
#include "sites.h"

#define MODEL_HISTORY 7200 /* points; two hours at one a second */

struct model {
    const char *program; /* name */
    char identity[160];  /* "812 redis-server" or the log's name */
    char title[160];     /* what a process calls itself that has a title: "postgres: alice shop" */
    char state[96];      /* "live 3m12s", "dead, last wrote 4m ago", "reading" */
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
    double mapped_bytes;                 /* of the mmap kind; NaN: not known */
    double growth_bytes, growth_seconds; /* of the heap over the last minute, or as far as known */
    bool objects_counted; /* by the process, up to its last publication; else an estimate */
    uint64_t torn;
    const char *hint;       /* an empty view's: what to do next; or NULL */
    const char *leaks_hint; /* where leaks are not known: what to do; or NULL */
    size_t logs, log;       /* a log may hold several programs: how many, which one is shown */
};

#endif
