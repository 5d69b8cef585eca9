/* The programs that speak in logs: gctrace lines sorted by log and by who wrote them.  Lines of a
 * Go program name no pid; each log has one such program, and a cycle number that starts again
 * begins another. */
#ifndef MEMTOP_TRACELOG_H
#define MEMTOP_TRACELOG_H

#include "cycles.h"
#include "history.h"
#include "view/gctrace.h"

#include <stdio.h>

struct log_program {
    const char *log; /* its name, as tracelog.log had it */
    struct trace trace;
    struct history history; /* times are the program's own: ns since its start */
    uint64_t last_number;
    bool superseded; /* a Go program that another one has followed */
    size_t run;      /* of Go programs: the how-manieth */
};

struct tracelog {
    struct log_program *program;
    size_t count, capacity;
    uint64_t lines, trace_lines; /* read; understood */
    const char *log;             /* name of the log whose lines come now; logs differ by address */
    bool many_logs;              /* programs are told with their logs' names */
    FILE *records;               /* not NULL: each cycle is written there as JSON when it comes */
    bool out_of_memory;
};

void tracelog_init(struct tracelog *log);
void tracelog_fini(struct tracelog *log);
/* A logread_line; `context` is the tracelog. */
void tracelog_line(void *context, const char *line, size_t length);
/* A cycle, of which `form` is known. */
void tracelog_cycle(struct tracelog *log, enum gctrace_form form, const struct md_cycle *cycle,
                    uint32_t pid, const char *name);
/* "812 redis-server", "Go program", with many logs "Go program, b.log" */
void tracelog_who(const struct tracelog *log, const struct log_program *program, char *buffer,
                  size_t size);
/* One summary of each program, as text or NDJSON. */
void tracelog_report(const struct tracelog *log, bool json, FILE *out);

#endif
