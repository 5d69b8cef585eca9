/* What there is to show of a target or a log, computed anew at each tick.  Only watch.c and
 * cmd_tail.c write it; panels read it.  Pointers are borrowed. */
#ifndef MEMTOP_MODEL_H
#define MEMTOP_MODEL_H

#include "cycles.h"
#include "evidence.h"
#include "history.h"
#include "names.h"
#include "resident.h"
#include "sites.h"

#define MODEL_HISTORY 7200 /* points; two hours at one a second */

struct model {
    const char *program; /* name */
    char identity[160];  /* "812 redis-server" or the log's name */
    char title[160];     /* the title that a process has set: "postgres: alice shop"; "": none */
    char state[96];      /* "live 3m12s", "ended after 4m02s", "reading, 12 of 40 lines" */
    bool alive, stopped;
    int64_t now_ns;                 /* of the newest data, monotonic; of a log its own */
    const struct md_header *header; /* NULL: a log */
    const struct sites *sites;      /* NULL: a log */
    const struct names *names;
    const struct history *history;
    const struct trace *trace;
    struct pause_quantiles pauses;
    double alloc_rate, free_rate; /* bytes a second; NAN: not known */
    bool alloc_bound, free_bound; /* the rate is at most that: nothing was published for a while */
    double alloc_objects_rate;    /* objects a second; NAN: not known */
    double sampling_share;        /* of a CPU, for samples of the heap; NAN: not known */
    double live_objects;
    const struct resident *resident; /* NULL: a log */
    double mapped_bytes;             /* of the mmap kind; NAN: not known */
    int64_t marked_ns;               /* the moment that is marked, monotonic; 0: none */
    /* Of the heap over the last minute, or as far as known; or since the mark. */
    double growth_bytes, growth_seconds;
    bool objects_counted; /* by the process, up to its last publication; else an estimate */
    uint64_t torn;        /* records that could not be read whole, so far */
    struct verdict verdict;
    enum evidence_cycles verdict_cycles;
    const char *hint;       /* what to do if there is nothing to show; or NULL */
    const char *leaks_hint; /* what to do to know of leaks; NULL: they are known */
    char unsampled[160];    /* leaks that no sample names, by size; "": none are known */
    size_t logs, log;       /* a log's programs: how many, and which one is shown */
};

#endif
