/* The cycles of one process, from its segment or from a log: the last ones whole, all of them as
 * sums.  Memory: malloc, for pauses alone; without memory fewer are kept. */
#ifndef MEMTOP_CYCLES_H
#define MEMTOP_CYCLES_H

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stddef.h>

#define TRACE_KEPT 64      /* cycles and skips kept whole */
#define TRACE_PAUSES 65536 /* pauses kept for the quantiles; the oldest are dropped */

struct trace {
    uint32_t pid; /* 0: a Go program's log */
    char name[32];
    struct md_cycle kept[TRACE_KEPT];
    size_t kept_count, kept_next;
    double *pauses; /* ns, ring */
    size_t pause_count, pause_next, pause_capacity;
    uint64_t cycles, forced, skips;
    double pause_total_ns, pause_max_ns, pause_last_ns;
    double mark_total_ns;
    uint64_t heap_min_bytes, heap_max_bytes; /* in use: least at a start, most at an end */
    uint64_t reachable_first, reachable_last, goal_last; /* bytes, at the first and last cycle */
    uint64_t unreachable_objects, unreachable_bytes;     /* of the last cycle */
    bool unreachable_known;                              /* not in a Go program's lines */
    uint64_t live_objects;
    double cpu_ns; /* of all cycles */
    uint32_t utilization_percent;
    double first_seconds, last_seconds; /* starts of cycles and skips, since the program's start */
    uint64_t next_index;                /* of the next record of the ring to be added */
};

void trace_init(struct trace *trace, uint32_t pid, const char *name);
void trace_fini(struct trace *trace);
void trace_add(struct trace *trace, const struct md_cycle *cycle);
/* Adds those records of the ring that are new since the last call; returns how many. */
size_t trace_add_ring(struct trace *trace, const struct md_cycle *cycles, size_t count);
/* The i-th youngest that is kept, from 0; NULL: there is none. */
const struct md_cycle *trace_recent(const struct trace *trace, size_t i);
/* Both stops together. */
double cycle_pause_ns(const struct md_cycle *cycle);

struct pause_quantiles {
    double p50_ns, p99_ns, max_ns; /* NAN: no cycle */
};
struct pause_quantiles trace_pauses(const struct trace *trace);

/* A cycle as its gctrace line, or as a shorter one if that has more than `columns`. */
void trace_line(const struct trace *trace, const struct md_cycle *cycle, int columns, char *buffer,
                size_t size);

#endif
